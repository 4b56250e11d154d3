#!/usr/bin/env bash
# mr-2x8gpu: one node of the job. Made by prl-submit VERSION from jobs/mr_2x8gpu.yaml
# Run by hand, `bash launch.sh` does the same thing. Edit the spec, not this file.

# --- this shell -----------------------------------------------------------------------------------

# Modules, activations and setup lines run in this very shell, and it inherits functions, options and PATH from
# whoever started it. launch.sh's own names begin with prl_. Before its own lines run, prl_own_shell removes functions
# that would run in place of a command, and sets the options that these lines are written for.
prl_commands="[ : . alias awk bind break builtin cat cd command compgen continue date declare df dirname disown echo
  enable env eval exec exit export false find flock getent grep head iconv id jobs kill let local ls mapfile mkdir
  mktemp mv nvidia-smi printf pwd read readlink readonly return rm sed set shift shopt sleep sort source stat tail
  tee test timeout torchrun touch tr trap true truncate type ulimit umask unalias uname uniq unset wait wc xargs"
prl_own_shell() {
  IFS=$' \t\n'
  POSIXLY_CORRECT=1 # as long as it is set, no function runs in place of unset and set
  unset -f $prl_commands 2>/dev/null || :
  set +o posix
  set -euo pipefail +afkvxCET
  shopt -u expand_aliases failglob nullglob dotglob nocaseglob nocasematch extdebug lastpipe xpg_echo 2>/dev/null || :
  trap - DEBUG RETURN ERR
  # A PATH that nobody expanded must not hide the commands of this script.
  [[ :${PATH:-}: == *:/usr/bin:* ]] || PATH=${PATH:+$PATH:}/usr/bin
  [[ :$PATH: == *:/bin:* ]] || PATH=$PATH:/bin
}
prl_own_shell

# Before a setup line, and what else is not ours.
prl_setup_exit= prl_errexit=-e
prl_lend_shell() {
  [[ -o posix ]] || trap() { prl_trap "$@"; } # in that mode no function may have its name
  builtin set +u "$prl_errexit"
}
# After it. `set +e` stays off for the lines that follow where the spec itself says it, not where a sourced file does.
prl_take_back() {
  local prl_theirs
  if [[ $- == *e* ]]; then
    prl_errexit=-e
  elif [[ $prl_doing == *"set +"*e* ]]; then
    prl_errexit=+e
  fi
  prl_theirs=$(builtin trap -p EXIT) # it may have said `builtin trap`
  if [[ $prl_theirs != "trap -- 'prl_finish' EXIT" ]]; then
    prl_setup_exit=
    [[ -z $prl_theirs ]] || eval "prl_setup_exit=${prl_theirs:8:-5}" # between `trap -- ` and ` EXIT`, quoted
  fi
  prl_arm
  builtin set "$prl_errexit"
}
# What `trap` is to setup lines: the end of the script and the signals it hears stay launch.sh's. A command for
# EXIT is kept, and runs at the end of the job.
prl_trap() {
  local prl_action prl_signal
  if ((BASH_SUBSHELL > 0)) || [[ $# == 0 || $1 == -[lp]* ]]; then
    builtin trap "$@"
    return
  fi
  [[ $1 != -- ]] || shift
  prl_action=$1
  if (($# == 1)) || [[ $1 == [0-9]* ]]; then prl_action=-; else shift; fi
  for prl_signal in "$@"; do
    case ${prl_signal^^} in
      EXIT | 0) prl_setup_exit=${prl_action#-} ;;
      1 | HUP | SIGHUP | 2 | INT | SIGINT | 15 | TERM | SIGTERM | 10 | USR1 | SIGUSR1) ;;
      *) builtin trap -- "$prl_action" "$prl_signal" ;;
    esac
  done
}

prl_run_dir=/home/me/prl/output/vNN-YYYYMMDD-HHMMSS
prl_workdir=/home/me/prl
# Not $HOSTNAME, which a job may inherit from where it was submitted.
prl_host=${SLURMD_NODENAME:-$(uname -n)}
prl_nodes=2
prl_nproc_per_node=8
prl_node_rank=${NODE_RANK:-0}
id -un >/dev/null 2>&1 || export USER=${USER:-prl-submit} LOGNAME=${LOGNAME:-prl-submit} # a uid without a name; torch asks

# A service has no HOME, and one that was inherited may be another user's. Python asks for it.
prl_home_note=
prl_find_home() {
  local prl_old_home=${HOME-}
  [[ -n $prl_old_home ]] || { unset HOME; HOME=~; } # of the password file
  if [[ ! -d $HOME || ! -r $HOME || ! -x $HOME ]]; then
    HOME=$(prl_own_folder)
  elif [[ ! -w $HOME && ! -w $HOME/.cache ]]; then
    prl_move_caches
  fi
  export HOME
  [[ $HOME == "$prl_old_home" ]] || prl_home_note="HOME is ${prl_old_home:-not set}${prl_old_home:+, which is not to be read}; this job has $HOME"
}
prl_own_folder() { # nobody else can have put anything there
  local prl_folder
  prl_folder=/tmp/prl-submit-home-$(id -u)
  mkdir -m 700 -- "$prl_folder" 2>/dev/null || [[ -O $prl_folder && ! -L $prl_folder && -d $prl_folder ]] || prl_folder=$(mktemp -d 2>/dev/null) || prl_folder=/tmp
  printf '%s' "$prl_folder"
}
# Compute nodes may have the home read-only. Data sets and compiled kernels are written to caches below it.
prl_move_caches() {
  local prl_cache
  prl_cache=${XDG_CACHE_HOME:-$(prl_own_folder)/.cache}
  [[ ! -d $HOME/.cache/huggingface/hub ]] || export HF_HUB_CACHE=${HF_HUB_CACHE:-${HF_HOME:-$HOME/.cache/huggingface}/hub}
  export XDG_CACHE_HOME=$prl_cache HF_HOME=${HF_HOME:-$prl_cache/huggingface} TRITON_CACHE_DIR=${TRITON_CACHE_DIR:-$prl_cache/triton}
  export MODELSCOPE_CACHE=${MODELSCOPE_CACHE:-$prl_cache/modelscope/hub}
  prl_home_note="HOME is $HOME, which is read-only; this job's caches are in $prl_cache"
}
prl_find_home

# torchrun reads PET_NAME for each of its options, and its ranks their place from RANK and the like. A platform's pod
# sets them, or a torchrun around this job. Those of this job are made below, or are in its spec.
for prl_name in ${!PET_*} WORLD_SIZE RANK LOCAL_RANK LOCAL_WORLD_SIZE GROUP_RANK GROUP_WORLD_SIZE ROLE_NAME ROLE_RANK \
  ROLE_WORLD_SIZE NNODES NPROC_PER_NODE TORCHELASTIC_ERROR_FILE \
  TORCHELASTIC_MAX_RESTARTS TORCHELASTIC_RESTART_COUNT TORCHELASTIC_RUN_ID TORCHELASTIC_USE_AGENT_STORE; do
  case $prl_name in PET_TEE | PET_REDIRECTS | PET_LOG_DIR) ;; *) unset "$prl_name" ;; esac
done

# A scheduler that starts the job again says how often it has done so.
prl_again=${PRL_SUBMIT_RESTARTS:-0}
prl_restarts=$((0 + prl_again))
prl_max_restarts=0
# Seconds between SIGTERM and SIGKILL.
prl_grace=120
# Seconds; 0: none, or the scheduler's business.
prl_time_limit=0
prl_time_limit_words=12:00:00
# A checkpoint that does not fit is a lost run.
prl_min_free_mib=1024

# ms-swift's arguments, one per line.
prl_swift_args=(
  --rlhf_type grpo
  --model Qwen/Qwen2.5-7B-Instruct
  --torch_dtype bfloat16
  --dataset jobs/data/mr_train.jsonl
  --val_dataset jobs/data/mr_val.jsonl
  --external_plugins jobs/plugins/prl_rewards.py
  --reward_funcs prl_format prl_accuracy
  --reward_weights 0.3 0.7
  --per_device_train_batch_size 4
  --per_device_eval_batch_size 2
  --num_generations 2
  --max_completion_length 768
  --use_vllm true
  --vllm_mode colocate
  --vllm_gpu_memory_utilization 0.4
  --eval_steps 200
  --save_steps 200
  --logging_steps 1
  --dataloader_num_workers 0
  --log_completions true
  --gradient_checkpointing_kwargs '{"use_reentrant": false}'
  --report_to wandb
  --output_dir /home/me/prl/output/vNN-YYYYMMDD-HHMMSS
  --add_version false
)

# --- exit.json: the job's own word on how it ended, written at every end --------------------------

prl_started_at=$(date +%Y-%m-%dT%H:%M:%S%:z)
prl_doing="starting"
prl_state= prl_reason= prl_signalled= prl_timed_out= prl_child= prl_watchdog= prl_canary= prl_watcher= prl_trained= prl_terminal=
prl_began= prl_done= prl_short_tmp= prl_python=()
prl_interrupts=0 prl_torchrun_code=-1 prl_out=1
prl_exit_file=$prl_run_dir/exit.json
[[ $prl_node_rank == 0 ]] || prl_exit_file=$prl_run_dir/logs/node$prl_node_rank.exit.json
prl_log_file=$prl_run_dir/logs/node$prl_node_rank.log

prl_json_string() {
  local prl_text=${1//\\/\\\\}
  prl_text=${prl_text//\"/\\\"}
  printf '"%s"' "${prl_text//[[:cntrl:]]/ }"
}

# Everything the job started carries the token in its environment, wherever it has moved to since.
prl_job_processes() {
  local prl_file prl_files
  prl_files=$(env -u PRL_SUBMIT_TOKEN grep -lszxF -e "PRL_SUBMIT_TOKEN=$PRL_SUBMIT_TOKEN" \
    /proc/[0-9]*/environ 2>/dev/null) || true
  for prl_file in $prl_files; do prl_file=${prl_file#/proc/}; echo "${prl_file%/environ}"; done
}

prl_leave_nothing_behind() {
  local prl_pids prl_seconds
  for prl_seconds in 0 0.1 0.3 0.6 1 3; do
    sleep "$prl_seconds"
    prl_pids=$(prl_background_shells; prl_job_processes)
    [[ -n $prl_pids ]] || return 0
    kill -TERM $prl_pids 2>/dev/null || true
  done
  prl_pids=$(prl_background_shells; prl_job_processes)
  [[ -z $prl_pids ]] || kill -KILL $prl_pids 2>/dev/null || true
}

# A loop that a setup line left in the background is a copy of this shell: it was never started as a program of its own,
# so its environment is the one that launch.sh was started with, without the token of this node.
prl_background_shells() {
  local prl_pid
  for prl_pid in $(jobs -rp); do prl_is_over "$prl_pid" || echo "$prl_pid"; done
}

# Whether a process has ended. Its parent may not have waited for it yet.
prl_is_over() { # PID
  local prl_process_state
  read -r _ _ prl_process_state _ 2>/dev/null <"/proc/$1/stat" || return 0
  [[ $prl_process_state == Z ]]
}

# What a setup line wanted done at the end, with ten seconds for it.
prl_run_setup_exit() {
  local prl_pid prl_i
  [[ -n $prl_setup_exit ]] || return 0
  set -m # a process group of its own, to be ended as a whole
  (set +eum; eval "$prl_setup_exit") &
  prl_pid=$!
  set +m
  for ((prl_i = 0; prl_i < 100; prl_i++)); do ! prl_is_over "$prl_pid" || return 0; sleep 0.1; done
  kill -KILL -- "-$prl_pid" 2>/dev/null
}

# Sets prl_code, prl_state and prl_reason.
prl_judge() {
  if [[ -n $prl_timed_out ]]; then
    prl_code=124 prl_state=TIMEOUT prl_reason="the time limit of $prl_time_limit_words was reached"
    [[ $prl_timed_out != warned ]] || prl_reason="warned by Slurm of the time limit of $prl_time_limit_words, and stopped"
  elif [[ -n $prl_signalled ]]; then
    prl_code=$((128 + prl_signalled)) prl_state=FAILED prl_reason="stopped by signal $prl_signalled while $prl_doing"
    if [[ -e $prl_run_dir/cancel.json ]]; then
      prl_state=CANCELLED prl_reason=$(sed -n 's/.*"reason": *"\([^"]*\)".*/\1/p' "$prl_run_dir/cancel.json")
    elif [[ $prl_signalled == 2 ]]; then
      prl_state=CANCELLED prl_reason="interrupted (SIGINT) while $prl_doing"
    fi
  elif [[ $prl_code != 0 && -z $prl_reason ]]; then
    prl_reason="failed while $prl_doing (exit code $prl_code$(prl_words_of_code "$prl_code"))"
  elif [[ $prl_code == 0 && -z $prl_trained ]]; then
    # `exit 0` in a setup line, or a here-document nobody closed, must not look like success.
    prl_code=78 prl_reason="ended while $prl_doing, before the training"
  fi
  if [[ -n $prl_timed_out$prl_signalled ]]; then
    if [[ -n $prl_began ]] && prl_is_done; then
      prl_code=0 prl_state=SUCCEEDED prl_reason="$prl_done; then: $prl_reason"
    fi
  fi
  [[ -n $prl_state ]] || { [[ $prl_code == 0 ]] && prl_state=SUCCEEDED || prl_state=FAILED; }
}

# What an exit code says of a signal: 128 and its number. The kernel's limits are those of `ulimit`.
prl_words_of_code() { # CODE
  (($1 > 128 && $1 < 165)) || return 0
  printf ': %s' "$(prl_words_of_signal $(($1 - 128)))"
}
prl_words_of_signal() { # NUMBER
  local prl_signal_name prl_memory="out of memory is the usual cause"
  prl_signal_name=SIG$(kill -l "$1" 2>/dev/null) || prl_signal_name="signal $1"
  [[ $(ulimit -t) == unlimited ]] || prl_memory="out of memory, or the CPU time limit of $(ulimit -t) s (ulimit -t)"
  case $prl_signal_name in
    SIGKILL) printf 'killed (SIGKILL); %s' "$prl_memory" ;;
    SIGXCPU) printf 'ended by the CPU time limit of %s s (SIGXCPU; ulimit -t), which a job may inherit from the shell it was submitted in' "$(ulimit -t)" ;;
    SIGXFSZ) printf 'a file became larger than the limit of %s KiB (SIGXFSZ; ulimit -f)' "$(ulimit -f)" ;;
    SIGBUS) printf 'crashed (SIGBUS); a full /dev/shm or disk is the usual cause' ;;
    SIGABRT) printf 'aborted (SIGABRT)' ;;
    SIGSEGV | SIGILL | SIGFPE | SIGSYS) printf 'crashed (%s)' "$prl_signal_name" ;;
    *) printf 'ended by %s from outside' "$prl_signal_name" ;;
  esac
}

prl_finish() {
  prl_code=$?
  prl_own_shell
  trap - EXIT
  trap '' TERM INT HUP USR1
  set +e
  [[ -z $prl_watchdog ]] || kill "$prl_watchdog" 2>/dev/null
  [[ -z $prl_canary ]] || kill -KILL "$prl_canary" 2>/dev/null
  [[ -z $prl_watcher ]] || kill -KILL -- "-$prl_watcher" 2>/dev/null
  prl_leave_nothing_behind
  prl_run_setup_exit
  [[ -z $prl_short_tmp ]] || { rm -f -- "$prl_short_tmp/t"; rmdir -- "$prl_short_tmp"; } 2>/dev/null
  [[ $prl_signalled != 15 || ! -e $prl_run_dir/logs/.time-limit ]] || prl_timed_out=warned
  prl_wait_for_node_0
  prl_judge
  local prl_text
  prl_text=$(
    printf '{"exit_code": %d, "state": "%s", "started_at": "%s", "ended_at": "%s", ' \
      "$prl_code" "$prl_state" "$prl_started_at" "$(date +%Y-%m-%dT%H:%M:%S%:z)"
    printf '"restarts": %d, "node": %s, "reason": ' "$prl_restarts" "$(prl_json_string "$prl_host")"
    [[ -z $prl_reason ]] && printf 'null' || prl_json_string "$prl_reason"
    printf '}'
  )
  prl_note_attempt "$prl_text"
  # 1<>: in place, for on a full disk there is no room but what was kept for this.
  printf '%s\n' "$prl_text" 1<>"$prl_exit_file.part"
  (LC_ALL=C; truncate -s $((${#prl_text} + 1)) -- "$prl_exit_file.part")
  prl_say "$prl_state${prl_reason:+: $prl_reason}"
  [[ -z $prl_terminal ]] || prl_out=$prl_terminal prl_say "$prl_state${prl_reason:+: $prl_reason}"
  mv -f -- "$prl_exit_file.part" "$prl_exit_file" # last: who sees it takes the log for whole
  exit "$prl_code"
}

# exit.json is the last attempt's alone. This file keeps all of them: a line at each start and each end.
prl_note_attempt() { # JSON
  [[ $prl_node_rank == 0 ]] || return 0
  printf '%s\n' "$1" >>"$prl_run_dir/logs/attempts.jsonl" || true
}

# Told to stop, node 0 saves the checkpoint; srun ends it as soon as another node is gone. Pods end one by one.
prl_wait_for_node_0() {
  local prl_seconds
  [[ -n $prl_signalled && $prl_node_rank != 0 && -z ${PRL_SUBMIT_POD:-} ]] || return 0
  for ((prl_seconds = 0; prl_seconds < prl_grace; prl_seconds++)); do
    [[ ! -e $prl_run_dir/exit.json ]] || return 0
    sleep 1
  done
}

prl_say() { printf 'prl-submit: %s\n' "$*" >&"$prl_out"; } # into the log, wherever setup lines send their output

prl_fail() { # CODE REASON
  prl_reason=$2
  exit "$1"
}

# Slurm signals launch.sh alone (proctrack/cgroup) or every process of the step (proctrack/linuxproc).
# A second SIGTERM makes torchrun kill its ranks before they have saved. The canary is an idle process: if it died,
# Slurm has signalled torchrun too, and launch.sh must not signal it again.
prl_all_were_told() {
  sleep 0.3
  prl_is_over "$prl_canary"
}

prl_pass_on() { # SIGNAL NUMBER: torchrun tells its ranks; what still runs after the grace is killed
  prl_own_shell
  prl_interrupts=$((prl_interrupts + 1))
  [[ -z $prl_signalled ]] || return 0
  prl_signalled=$2
  [[ -n $prl_child ]] || exit $((128 + $2))
  prl_say "got SIG$1, passing it on; at most $prl_grace s until the kill"
  [[ $1 == TERM ]] && prl_all_were_told || kill -"$1" "$prl_child" 2>/dev/null || true
  (sleep "$prl_grace" && kill -KILL $(prl_job_processes) 2>/dev/null) &
}

prl_time_is_up() {
  prl_own_shell
  prl_interrupts=$((prl_interrupts + 1))
  [[ -z $prl_signalled && -z $prl_trained ]] || return 0
  prl_timed_out=1
  prl_pass_on TERM 15
}

prl_arm() {
  builtin trap prl_finish EXIT
  builtin trap 'prl_pass_on TERM 15' TERM
  builtin trap 'prl_pass_on INT 2' INT
  builtin trap prl_time_is_up USR1
  builtin trap '' HUP  # the job outlives the terminal
}

mkdir -p -- "$prl_run_dir"
# Whoever may write into this directory could have put links there: launch.sh writes through none.
for prl_i in "$prl_run_dir"/{.node$prl_node_rank.lock,logging.jsonl,completions.jsonl,logs} "$prl_exit_file" "$prl_exit_file.part" \
  "$prl_log_file" "$prl_run_dir"/logs/{attempts.jsonl,.job,.began$prl_node_rank,.pod$prl_node_rank}; do
  [[ ! -L $prl_i ]] || {
    echo "prl-submit: $prl_i is a symbolic link, through which nothing is written" >&2
    exit 78
  }
done
# This lock stops a second job in the same run directory. All children inherit it. Where it cannot be taken (disk
# full, no flock, a file system without locks) the job runs without it.
exec {prl_lock}>"$prl_run_dir/.node$prl_node_rank.lock" || prl_lock=
prl_locked=0
# A file server may take a minute or two to let go of what a lost node held.
[[ -z $prl_lock ]] || ! type -P flock >/dev/null ||
  flock -w $((prl_again ? 180 : 0)) -E 75 "$prl_lock" || prl_locked=$?
if ((prl_locked == 75)); then
  prl_say "$prl_run_dir is in use: its job still runs, 'prl-submit status' says more" >&2
  exit 75
fi
prl_arm
prl_doing="making the folder of the logs"
mkdir -p -- "$prl_run_dir/logs"
rm -f -- "$prl_exit_file" # an earlier attempt's
prl_note_attempt "{\"started_at\": \"$prl_started_at\", \"restarts\": $prl_restarts, \"node\": $(prl_json_string "$prl_host")}"
# Under Slurm: which job has the run, also where somebody typed sbatch.
[[ $prl_node_rank != 0 || -z ${SLURM_JOB_ID:-} ]] || echo "$SLURM_JOB_ID" >"$prl_run_dir/logs/.job"
printf '%4096s\n' '' >"$prl_exit_file.part" # room for the last word, kept free from now on
if [[ -t 2 ]]; then # by hand: the last word comes to the terminal too
  exec {prl_terminal}>&2
  prl_say "output goes to $prl_log_file"
fi
exec >>"$prl_log_file" 2>&1 </dev/null
exec {prl_out}>&1
prl_say "$prl_started_at on $prl_host, node $prl_node_rank of $prl_nodes, restarts $prl_restarts"
[[ -z $prl_home_note ]] || prl_say "$prl_home_note"

# One per node: two nodes of a job may be one machine. One per directory: scripts that were rendered and not
# submitted have the same token.
export PRL_SUBMIT_TOKEN=0123456789abcdef.$prl_node_rank.$(stat -c %d.%i -- "$prl_run_dir")
((prl_again <= prl_max_restarts)) || prl_fail 1 "started again $prl_again times; restarts.max is $prl_max_restarts"
prl_watch_time() { # [COMMAND]: what else to do when the time limit is reached
  [[ -z $prl_watchdog ]] || kill "$prl_watchdog" 2>/dev/null || true
  ((prl_time_limit > 0)) || return 0
  (sleep $((prl_time_limit > SECONDS ? prl_time_limit - SECONDS : 0)) && kill -USR1 $$ && "$@") 2>/dev/null &
  prl_watchdog=$!
}

# bash hears the signal only when the command in its foreground has ended.
prl_end_setup() {
  kill -TERM $(prl_job_processes)
  sleep "$prl_grace"
  kill -KILL $(prl_job_processes)
}

prl_watch_time prl_end_setup

# --- environment ----------------------------------------------------------------------------------

prl_doing="entering the working directory"
cd -- "$prl_workdir" || prl_fail 78 "working directory $prl_workdir is not on $prl_host"

# The interpreter that torchrun itself will use, into the array `prl_python`; where its first lines do not say, the
# first one in PATH, and prl_python_is_named is empty.
prl_find_python() {
  local prl_first= prl_second= prl_script="^'''exec' \"?(/.*/python[0-9.]*)\"? \"\\\$0\""
  prl_python_is_named=1
  { read -r prl_first && read -r prl_second; } 2>/dev/null <"$(type -P torchrun)" || true
  if [[ $prl_first == '#!'*python* ]]; then
    read -ra prl_python <<<"${prl_first#'#!'}"
  elif [[ $prl_second =~ $prl_script ]]; then # pip starts a script so where python's path is long or holds a space
    prl_python=("${BASH_REMATCH[1]}")
  else
    prl_python=("$(type -P python || type -P python3 || true)") prl_python_is_named=
  fi
}
# A module, a shell's start-up file or ~/.local/bin may have put another torchrun in front of the environment's.
prl_require_torchrun() { # FOLDER WORDS: the environment's, and what it is called
  local prl_launcher
  prl_launcher=$(type -P torchrun) || return 0 # the preflight says so
  prl_find_python
  [[ ${prl_launcher%/*} -ef $1/bin || ( -n $prl_python_is_named && ${prl_python[0]%/*} -ef $1/bin ) ]] ||
    [[ $(readlink -f -- "$prl_launcher") == "$(readlink -f -- "$1")"/* || ${PRL_PREFLIGHT:-on} == off ]] ||
    prl_fail 78 "$2 is $1, but torchrun is $prl_launcher: torch is not installed there, or another environment comes before it in PATH"
  prl_required=$prl_launcher
}
prl_required=

prl_doing="activating the conda environment"
prl_conda_name=prl_clean
prl_conda_root=''
prl_conda_exe=${CONDA_EXE:-$(type -P conda || true)}
prl_conda_found= prl_conda_places=("$prl_conda_root")
[[ -n $prl_conda_root ]] || prl_conda_places=("${prl_conda_exe%/*/*}" "$HOME/miniconda3" "$HOME/miniforge3" \
  "$HOME/anaconda3" /opt/conda /opt/miniconda3 /opt/miniforge3)
for prl_candidate in "${prl_conda_places[@]}"; do
  if [[ -n $prl_candidate && -r $prl_candidate/etc/profile.d/conda.sh ]]; then
    prl_conda_found=$prl_candidate
    break
  fi
done
if [[ -n $prl_conda_found ]]; then
  # Always: that CONDA_DEFAULT_ENV has the name already does not say that its folders come first in PATH, nor that
  # it is of this installation. conda's own scripts read unset variables.
  prl_lend_shell
  source "$prl_conda_found/etc/profile.d/conda.sh" || true
  conda activate "$prl_conda_name" || prl_fail 78 \
    "conda environment '$prl_conda_name' is not in $prl_conda_found; it has: base $(ls "$prl_conda_found/envs" 2>/dev/null | tr '\n' ' ')"
  prl_take_back
  prl_own_shell
elif [[ -z $prl_conda_root && ${CONDA_DEFAULT_ENV:-} == "$prl_conda_name" ]]; then
  prl_say "conda is not on this node; its environment '$prl_conda_name' is active already" # micromamba's, a container's
else
  prl_fail 78 "conda is not on this node; say where it is with environment.conda: {name: $prl_conda_name, root: DIR}${prl_conda_root:+ ($prl_conda_root has no etc/profile.d/conda.sh)}"
fi
prl_conda_prefix() { # of the environment that is active now
  local prl_active=${CONDA_PREFIX:-}
  case $prl_conda_name in base) echo "$prl_conda_found"; return ;; */*) echo "$prl_conda_name"; return ;; esac
  if [[ -d $prl_conda_found/envs/$prl_conda_name ]]; then
    echo "$prl_conda_found/envs/$prl_conda_name"
  elif [[ ${prl_active##*/} == "$prl_conda_name" ]]; then
    echo "$prl_active" # in another of conda's envs_dirs
  fi
}
prl_prefix=$(prl_conda_prefix)
# conda leaves the folder where it is in PATH, if the environment was active before.
[[ ! -x $prl_prefix/bin/torchrun || $(type -P torchrun) -ef $prl_prefix/bin/torchrun ]] || export PATH="$prl_prefix/bin:$PATH"
[[ ! -e $prl_prefix/bin/python ]] || prl_require_torchrun "$prl_prefix" "conda environment '$prl_conda_name'"

export PYTHONUTF8=1  # paths and logs are UTF-8, whatever the node's locale
export WANDB_MODE=offline

# From here on the shell, its output and the working directory are launch.sh's again.
prl_own_shell
exec >&"$prl_out" 2>&1
prl_doing="entering the working directory"
[[ . -ef $prl_workdir ]] || prl_say "a setup line went to $PWD; the training runs in $prl_workdir, which is the spec's workdir"
cd -- "$prl_workdir" || prl_fail 78 "working directory $prl_workdir is not on $prl_host"
if [[ -n $prl_required && $(type -P torchrun) != "$prl_required" ]]; then
  prl_say "torchrun is $(type -P torchrun): environment.env or a setup line put it before $prl_required"
fi

# --- a restart goes on from the last complete checkpoint ------------------------------------------

prl_find_python
# prl_submit/runs/checkpoint_files.py of the prl-submit that made this script. Prints `NAME STEP MAX_STEPS` of the last
# complete checkpoint, and `# WHY` for each newer one that is not complete.
prl_look_at_checkpoints() {
  "${prl_python[@]}" -I -S - "$prl_run_dir" $((prl_nodes * prl_nproc_per_node)) <<'PRL_PYTHON'
"""Which checkpoint of a run is complete: every file that a resumed training reads is there, and whole.

launch.sh runs this very file on a node, with the Python of the training's environment, so that `resume` and
a scheduler's restart choose alike. Therefore: the standard library alone, and nothing newer than Python 3.8.
"""

from __future__ import annotations

import json
import os
import re
import stat
import sys
from typing import Any

#: transformers makes this file in a checkpoint before a save on SIGTERM, and removes it after the save.
MARK = "checkpoint-is-incomplete.txt"
_NAME = re.compile(r"checkpoint-([0-9]+)", re.ASCII)
_ENDINGS = (".safetensors", ".bin", ".pt")
_NOT_WEIGHTS = ("optimizer.pt", "optimizer.bin", "scheduler.pt", "scaler.pt", "training_args.bin")
_MAX_JSON = 500_000_000
#: The safetensors library's own limit of a header.
_MAX_HEADER = 100_000_000
_ZIP, _ZIP_ENTRY, _ZIP_END = b"PK\3\4", b"PK\1\2", b"PK\5\6"
_ZIP_END_SIZE = 22
_IN_ZIP64 = 0xFFFFFFFF
#: `model-00001-of-00002.safetensors`: one of several, which model.safetensors.index.json lists.
_SHARD = re.compile(r"-[0-9]{5}-of-([0-9]{5})(\.safetensors|\.bin)$")
#: No piece of a safetensors, zip or pickle file is printable text; so what is, and short, stands in for one.
_STAND_IN = re.compile(rb"(?!P)[\x20-\x7e\n]{1,63}")


class FaultError(Exception):
    """Why a checkpoint is not complete, in words."""


def last_complete(
    run_dir: str, ranks: int, told: list[str]
) -> tuple[str, int, dict[str, Any]] | None:
    """The newest complete checkpoint: its name, its step, its trainer_state.json; or None.

    `told` gets a line for each newer one, with why it is not complete.
    """
    try:
        names = os.listdir(run_dir)
    except OSError:
        return None
    found = [(int(match[1]), name) for name in names if (match := _NAME.fullmatch(name))]
    for step, name in sorted(found, reverse=True):
        folder = os.path.join(run_dir, name)
        if not os.path.isdir(folder):
            continue
        try:
            return name, step, look_at(folder, ranks)
        except FaultError as fault:
            told.append(f"{name}: {fault}")
        except OSError as error:
            told.append(f"{name}: cannot be read: {error.strerror}")
    return None


def look_at(folder: str, ranks: int) -> dict[str, Any]:
    """The trainer_state.json of a complete checkpoint. Raises FaultError where it is not, and OSError."""
    names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    if MARK in names:
        raise FaultError(f"its saving did not come to an end, says {MARK}")
    state = _json(folder, "trainer_state.json")
    if not isinstance(state, dict):
        raise FaultError("trainer_state.json is damaged")
    _check_step(os.path.basename(folder), state)
    states = ["rng_state.pth"] if ranks == 1 else [f"rng_state_{rank}.pth" for rank in range(ranks)]
    for name in [*states, *_optimizer(folder, names)]:
        _check(folder, name)
    if "scaler.pt" in names:
        _check(folder, "scaler.pt")
    weights = _weights(folder, names)
    if not weights:
        raise FaultError("has no weights")
    for name in weights:
        _check(folder, name)
    for name in names:
        if name.endswith(".index.json"):
            _check_shards(folder, name)
        elif (
            match := _SHARD.search(name)
        ) and f"{name[: match.start()]}{match[2]}.index.json" not in names:
            raise FaultError(f"{name} is one of several, and their index is not there")
    return state


def _check_step(name: str, state: dict[str, Any]) -> None:
    """A folder's number is the step in its trainer_state.json, for those that Trainer wrote itself."""
    step = state.get("global_step")
    if step is None:
        return  # what cannot be compared
    if type(step) is not int or step < 1:
        raise FaultError(f"trainer_state.json has global_step {step!r}")
    match = _NAME.fullmatch(name)
    if match and int(match[1]) != step:
        raise FaultError(f"trainer_state.json is of step {step}")


def _optimizer(folder: str, names: list[str]) -> list[str]:
    """The files with the optimizer's and the scheduler's state."""
    if any(name.startswith("global_step") for name in names):
        return ["latest"]  # DeepSpeed writes it after everything else
    for name in names:  # FSDP2 (accelerate, SHARDED_STATE_DICT): folders; .metadata is written last
        metadata = os.path.join(name, ".metadata")
        if re.match(r"optimizer_[0-9]", name) and _size(folder, metadata):
            return [metadata, *_pieces(folder, name), "scheduler.pt"]
    optimizer = "optimizer.bin" if "optimizer.bin" in names else "optimizer.pt"  # FSDP: .bin
    return [optimizer, "scheduler.pt"]


def _weights(folder: str, names: list[str]) -> list[str]:
    """The files with the weights, and those beside them that are loaded likewise."""
    found = []
    for name in names:
        if os.path.isdir(os.path.join(folder, name)):
            metadata = os.path.join(name, ".metadata")
            if name.startswith("global_step"):
                found += [name, *_pieces(folder, name)]
            elif re.match(r"pytorch_model_fsdp_[0-9]", name) and os.path.exists(
                os.path.join(folder, metadata)
            ):
                found += [metadata, *_pieces(folder, name)]
        elif name.startswith("global_step") or (
            name.endswith(_ENDINGS) and name not in _NOT_WEIGHTS
        ):
            found.append(name)
    return found


def _pieces(folder: str, inner: str) -> list[str]:
    """What each rank wrote into a folder of the checkpoint: DeepSpeed's *.pt, FSDP2's *.distcp."""
    return [
        os.path.join(inner, name)
        for name in sorted(os.listdir(os.path.join(folder, inner)))
        if name.endswith((".pt", ".distcp"))
    ]


def _check_shards(folder: str, index: str) -> None:
    tree = _json(folder, index)
    try:
        names = set(tree["weight_map"].values())
    except (LookupError, AttributeError, TypeError):
        raise FaultError(f"{index} is damaged") from None
    for name in sorted(map(str, names)):
        _check(folder, name)


def _json(folder: str, name: str) -> Any:
    if not 0 < _size(folder, name) <= _MAX_JSON:
        raise FaultError(f"has no {name}, or an empty one")
    try:
        with open(os.path.join(folder, name), "rb") as file:
            return json.loads(file.read(_MAX_JSON))
    except (ValueError, RecursionError):
        raise FaultError(f"{name} is damaged") from None


def _size(folder: str, name: str) -> int:
    """Bytes; 0 where there is no such regular file."""
    try:
        status = os.stat(os.path.join(folder, name))
    except OSError:
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def _check(folder: str, name: str) -> None:
    """Raises FaultError where a file is missing, empty, cut short, or filled with something else."""
    if os.path.isdir(os.path.join(folder, name)):
        if name.startswith("global_step"):
            return  # its files are looked at one by one
        raise FaultError(f"{name} is a folder")
    size = _size(folder, name)
    if not size:
        raise FaultError(f"has no {name}, or an empty one")
    with open(os.path.join(folder, name), "rb") as file:
        head = file.read(64)
        if size < 64 and _STAND_IN.fullmatch(head):
            return
        file.seek(0)
        if name.endswith(".safetensors"):
            whole = size == (said := _safetensors_size(file.read, size))
            words = f"{size} bytes, its header says {said or 'nothing'}"
        else:
            whole, words = _is_whole(file, name, head, size), f"{size} bytes"
    if not whole:
        raise FaultError(f"{name} is damaged or cut short ({words})")


def _is_whole(file: Any, name: str, head: bytes, size: int) -> bool:
    if name.endswith((".pt", ".pth", ".bin")):
        return _is_whole_torch(file, head, size)
    if name.endswith(".metadata"):  # a pickle; it ends with its STOP
        file.seek(size - 1)
        return head.startswith(b"\x80") and bool(file.read(1) == b".")
    return True


def _safetensors_size(read: Any, size: int) -> int:
    """The size that the header states: 8 bytes with its length, itself, the tensors. 0: it is no header."""
    length = int.from_bytes(read(8), "little")
    if not 2 <= length <= min(size - 8, _MAX_HEADER):
        return 0
    try:
        header = json.loads(read(length))
        ends = [item["data_offsets"][1] for key, item in header.items() if key != "__metadata__"]
        return 8 + length + int(max(ends, default=0))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return 0


def _is_whole_torch(file: Any, head: bytes, size: int) -> bool:
    """torch.save writes a zip, whose directory comes last; it used to write pickles, and still can.

    Of such a pickle, whose raw data come last, nothing says where it ends.
    """
    if head.startswith(b"\x80"):
        return True
    if not head.startswith(_ZIP) or size <= _ZIP_END_SIZE:
        return False
    file.seek(size - _ZIP_END_SIZE)
    end = file.read(_ZIP_END_SIZE)
    if not end.startswith(_ZIP_END):
        return False
    begin = int.from_bytes(end[16:20], "little")
    if begin == _IN_ZIP64:
        return True
    file.seek(begin)
    return bool(file.read(4) == _ZIP_ENTRY)


def main(run_dir: str, ranks: int) -> None:
    """For launch.sh: `NAME STEP MAX_STEPS` of the last complete one; `# WHY` for each newer one."""
    told: list[str] = []
    found = last_complete(run_dir, ranks, told)
    lines = [f"# {line}" for line in told]
    if found is not None:
        name, _, state = found
        numbers = [state.get(key) for key in ("global_step", "max_steps")]
        lines.append(" ".join([name, *(str(n) if isinstance(n, int) else "-" for n in numbers)]))
    sys.stdout.write("".join(line + "\n" for line in lines))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
PRL_PYTHON
}
# Into prl_checkpoint its path, or nothing where there is none; into prl_step and prl_max_steps how far it is.
prl_find_checkpoint() { # [say]: also why newer ones are left out
  local prl_line
  prl_checkpoint= prl_step= prl_max_steps=
  while read -r prl_line; do
    if [[ $prl_line == "# "* ]]; then
      [[ -z ${1:-} ]] || prl_say "not complete: ${prl_line#"# "}"
    else
      read -r prl_checkpoint prl_step prl_max_steps <<<"$prl_line"
      prl_checkpoint=$prl_run_dir/$prl_checkpoint
    fi
  done < <(prl_look_at_checkpoints)
}
prl_argument() { # NAME: ms-swift's value for it, the last one where there are several
  local prl_i prl_value=
  for prl_i in "${!prl_swift_args[@]}"; do
    case ${prl_swift_args[prl_i]} in
      "--$1") prl_value=${prl_swift_args[prl_i + 1]-} ;;
      "--$1="*) prl_value=${prl_swift_args[prl_i]#*=} ;;
    esac
  done
  printf '%s' "$prl_value"
}
# A checkpoint that the job was told to begin from may be the last of a shorter training.
prl_has_every_step() {
  local prl_asked prl_given
  prl_asked=$(prl_argument max_steps) prl_given=$(prl_argument resume_from_checkpoint)
  [[ -n $prl_checkpoint && $prl_step == "$prl_max_steps" && $prl_given != "$prl_checkpoint" ]] || return 1
  [[ ! $prl_asked =~ ^[1-9][0-9]*$ ]] || ((prl_step >= prl_asked))
}
# What ms-swift does after the last save, it has done where its log says so: push_to_hub comes before the summary,
# the evaluation at the end of an epoch before the line with train_runtime.
prl_nothing_follows() { # FILE: logging.jsonl, or what this attempt wrote there
  local prl_follows
  if [[ $(prl_argument push_to_hub) == [Tt]rue ]]; then
    prl_follows='"last_model_checkpoint"'
  elif [[ $(prl_argument eval_strategy) == epoch && $(prl_argument save_strategy) != epoch ]]; then
    prl_follows='"train_runtime"'
  else
    return 0
  fi
  grep -qF -e "$prl_follows" "$1" 2>/dev/null
}
prl_go_on_from() { # CHECKPOINT, or nothing: from the beginning
  local prl_i
  prl_checkpoint=$1
  prl_say "restart $prl_again: continues from ${prl_checkpoint##*/}"
  for ((prl_i = ${#prl_swift_args[@]} - 1; prl_i >= 0; prl_i--)); do
    case ${prl_swift_args[prl_i]-} in
      --resume_from_checkpoint) unset "prl_swift_args[prl_i]" "prl_swift_args[prl_i + 1]" ;;
      --resume_from_checkpoint=*) unset "prl_swift_args[prl_i]" ;;
    esac
  done
  prl_swift_args=("${prl_swift_args[@]}")
  [[ -z $prl_checkpoint ]] || prl_swift_args+=(--resume_from_checkpoint "$prl_checkpoint")
}

prl_checkpoint=
if ((prl_again > 0)); then
  prl_doing="looking for a checkpoint"
  prl_find_checkpoint say
  # ms-swift would train one step more.
  if prl_has_every_step && prl_nothing_follows "$prl_run_dir/logging.jsonl"; then
    prl_trained=1 prl_reason="all $prl_max_steps steps were trained and saved before this restart; nothing is left to train"
    exit 0
  elif prl_has_every_step; then
    prl_fail 65 "all $prl_max_steps steps are trained and saved in ${prl_checkpoint##*/}, but what comes after the last save was not done: push_to_hub, or the last evaluation"
  elif [[ -n $prl_checkpoint ]]; then
    prl_go_on_from "$prl_checkpoint"
  else
    prl_say "restart $prl_again: there is no complete checkpoint, the training begins again"
  fi
fi

# --- preflight: what would fail minutes later fails now, all of it at once ------------------------

prl_doing="looking the node over"
prl_faults=()

prl_visible_gpus() {
  local prl_here prl_listed
  if type -P nvidia-smi >/dev/null; then
    prl_here=$(timeout 1.5 nvidia-smi -L 2>/dev/null | grep -cE '^ *(GPU|MIG) ') || true
  fi
  # Not installed, or too slow: without persistence mode the driver wakes up anew each time.
  [[ ${prl_here:-0} != 0 ]] || prl_here=$(compgen -G '/dev/nvidia[0-9]*' | wc -l) || true
  if [[ -z ${CUDA_VISIBLE_DEVICES+x} ]]; then
    echo "$prl_here"
  else
    # As CUDA does: the list ends at the first device that is not there.
    prl_listed=$(awk -F '[ ,]+' -v here="$prl_here" '{
      for (i = 1; i <= NF; i++) if ($i ~ /^-/ || ($i ~ /^[0-9]+$/ && $i + 0 >= here)) break; else if ($i != "") n++
    } END { print n + 0 }' <<<"$CUDA_VISIBLE_DEVICES")
    echo $((prl_listed < prl_here ? prl_listed : prl_here))
  fi
}

# A socket's path has at most 107 bytes, and Python and vLLM add up to 40 to TMPDIR.
prl_shorten_tmpdir() {
  local LC_ALL=C
  [[ -n ${TMPDIR:-} ]] && ((${#TMPDIR} > 64)) || return 0
  prl_short_tmp=$(mktemp -d /tmp/prl.XXXXXX) && ln -s -- "$TMPDIR" "$prl_short_tmp/t" || return 1
  prl_say "TMPDIR is $prl_short_tmp/t in this job, a link to $TMPDIR, which is too long for sockets"
  export TMPDIR=$prl_short_tmp/t
}

prl_preflight() {
  local prl_missing
  local prl_gpus prl_shown
  prl_gpus=$(prl_visible_gpus)
  [[ -z ${CUDA_VISIBLE_DEVICES+x} ]] && prl_shown=" is not set" || prl_shown="=$CUDA_VISIBLE_DEVICES"
  ((prl_gpus >= prl_nproc_per_node)) || prl_faults+=("$prl_gpus GPUs are visible, $prl_nproc_per_node are needed, one per process (CUDA_VISIBLE_DEVICES$prl_shown)")
  [[ -e /home/me/prl/jobs/data/mr_train.jsonl ]] || prl_faults+=('dataset /home/me/prl/jobs/data/mr_train.jsonl is not on this node (swift.dataset)')
  [[ -e /home/me/prl/jobs/data/mr_val.jsonl ]] || prl_faults+=('dataset /home/me/prl/jobs/data/mr_val.jsonl is not on this node (swift.val_dataset)')
  [[ -e /home/me/prl/jobs/plugins/prl_rewards.py ]] || prl_faults+=('plugin /home/me/prl/jobs/plugins/prl_rewards.py is not on this node (swift.external_plugins)')
  if ! type -t torchrun >/dev/null; then
    prl_faults+=("torchrun is not on PATH: the environment has no torch, or was not activated")
  elif [[ -n ${prl_python[0]:-} ]]; then
    prl_missing=$("${prl_python[@]}" -c 'import importlib.util as u, sys
print(*(m for m in sys.argv[1:] if u.find_spec(m) is None))' torch swift 2>/dev/null) || prl_missing="working python"
    [[ -z $prl_missing ]] || prl_faults+=("${prl_python[*]} has no $prl_missing: install ms-swift there, or activate another environment")
  fi
  [[ -w $prl_run_dir && -w $prl_run_dir/logs ]] || prl_faults+=("run directory $prl_run_dir is not writable")
  local prl_free
  prl_free=$(df -Pm -- "$prl_run_dir" | awk 'NR == 2 {print $4}')
  ((prl_free >= prl_min_free_mib)) || prl_faults+=("only $prl_free MiB are free at $prl_run_dir, $prl_min_free_mib are needed")
  prl_shorten_tmpdir || prl_faults+=("TMPDIR is $TMPDIR: too long for the sockets that Python makes below it, and /tmp takes no link to it")
  if type -P getent >/dev/null && ! timeout 20 getent ahosts "$(uname -n)" >/dev/null; then
    prl_faults+=("the host name $(uname -n) of this node does not resolve (getent ahosts $(uname -n)): the ranks of several nodes find each other by it")
  fi
  [[ -n ${MASTER_ADDR:-} && -n ${MASTER_PORT:-} ]] || prl_faults+=("MASTER_ADDR and MASTER_PORT are not set: each of $prl_nodes nodes needs them, and NODE_RANK")
  if [[ $prl_node_rank == 0 ]] && (: <"/dev/tcp/127.0.0.1/${MASTER_PORT:-0}") 2>/dev/null; then
    prl_faults+=("port $MASTER_PORT is taken on this node")
  fi
}

if [[ ${PRL_PREFLIGHT:-on} != off ]]; then
  prl_preflight
  if [[ -n ${prl_faults[*]-} ]]; then
    for prl_fault in "${prl_faults[@]}"; do prl_say "preflight: $prl_fault"; done
    printf -v prl_joined '%s; ' "${prl_faults[@]}"
    prl_fail 78 "preflight: ${prl_joined%; }"
  fi
fi

# --- the training ---------------------------------------------------------------------------------

prl_this_attempt() { tail -c "+$((prl_log_start + 1))" -- "$prl_log_file"; }
prl_appended() { tail -c "+$((prl_steps_start + 1))" -- "$prl_run_dir/logging.jsonl" 2>/dev/null || true; }
prl_new_checkpoints() { find "$prl_run_dir" -maxdepth 1 -name 'checkpoint-*' -newer "$prl_began" 2>/dev/null; }

# Whether every step is trained and saved, however torchrun ended. The proof is on the disk: a complete checkpoint
# of the last step, of this attempt, in which every rank had a part; and what follows the last save was done.
prl_is_done() {
  local prl_new_log
  [[ -n $prl_began && -e $prl_began ]] || return 1
  prl_find_checkpoint
  prl_new_log=$(prl_appended)
  if [[ -n $prl_checkpoint && $prl_step == "$prl_max_steps" && $prl_checkpoint/trainer_state.json -nt $prl_began ]]; then
    prl_done="all $prl_max_steps steps are trained and saved"
  elif prl_ended_its_loop "$prl_new_log" && { prl_keeps_the_best || ((prl_torchrun_code == 0)); }; then
    prl_done="all $prl_max_steps steps are trained"
  else
    return 1
  fi
  prl_nothing_follows <(printf '%s' "$prl_new_log") || { prl_done=; return 1; }
}
# ms-swift logs train_runtime after the last step, its save and its evaluation; into prl_max_steps which step.
prl_ended_its_loop() { # LOG
  local prl_last_step
  prl_last_step=$(grep -F '"train_runtime"' <<<"$1" | grep -oE '"global_step/max_steps": *"[0-9]+/[0-9]+' | tail -n 1) || return 1
  prl_last_step=${prl_last_step##*\"}
  prl_max_steps=${prl_last_step#*/}
  [[ ${prl_last_step%/*} == "$prl_max_steps" ]]
}
# Then it removes the checkpoint of the last step where another is the best and only one is to be kept.
prl_keeps_the_best() {
  [[ -n $prl_checkpoint && $(prl_argument save_total_limit) == 1 && $(prl_argument load_best_model_at_end) == [Tt]rue ]]
}

prl_doing="training"
prl_log_start=$(stat -c %s -- "$prl_log_file" 2>/dev/null || echo 0)
prl_began=$prl_run_dir/logs/.began$prl_node_rank
: >"$prl_began"
# A kill may have cut a line short; the next one must not be glued to it.
prl_end_last_line() { # FILE
  [[ ! -s $1 || -z $(tail -c 1 -- "$1") ]] || echo >>"$1"
}
if ((prl_node_rank == 0)); then
  prl_end_last_line "$prl_run_dir/logging.jsonl"
  prl_end_last_line "$prl_run_dir/completions.jsonl"
fi
prl_steps_start=$(stat -c %s -- "$prl_run_dir/logging.jsonl" 2>/dev/null || echo 0)
prl_say "$(date +%H:%M:%S) torchrun, $prl_nproc_per_node processes on each of $prl_nodes nodes"

prl_torchrun=$(type -P torchrun) || prl_fail 78 "torchrun is not on PATH: the environment has no torch, or was not activated"
# torchrun kills its ranks 30 s after SIGTERM unless told otherwise.
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=$prl_grace
# Where `PET_TEE=3` in the job's environment makes torchrun log each rank apart.
[[ -z ${PET_TEE:-}${PET_REDIRECTS:-} ]] || export PET_LOG_DIR=$prl_run_dir/logs/ranks/node$prl_node_rank
set -m  # process groups of their own: the terminal's Ctrl-C reaches torchrun through us alone
tail --pid=$$ -f /dev/null & # ends with this shell, however that ends
prl_canary=$!
disown "$prl_canary" # bash would log its end
# Killed by SIGKILL, launch.sh can end nothing, and Slurm leaves its children on some sites. This process ends them.
prl_watch_over() {
  local prl_pid
  trap '' TERM INT HUP USR1
  while kill -0 $$; do sleep 1; done
  for prl_pid in $(prl_job_processes); do ((prl_pid == BASHPID)) || kill -TERM "$prl_pid"; done
  sleep "$prl_grace"
  kill -KILL $(prl_job_processes)
}
prl_watch_over >/dev/null 2>&1 &
prl_watcher=$!
disown "$prl_watcher"
"$prl_torchrun" --nnodes="$prl_nodes" --nproc_per_node="$prl_nproc_per_node" --node_rank="$prl_node_rank" \
  --master_addr="$MASTER_ADDR" --master_port="$MASTER_PORT" -m swift.cli.rlhf "${prl_swift_args[@]}" &
prl_child=$!
set +m
prl_watch_time
prl_code=0
while :; do # a trap ends `wait` early with its own code; only an undisturbed wait has torchrun's
  prl_before=$prl_interrupts
  wait "$prl_child" && prl_code=0 || prl_code=$?
  [[ $prl_interrupts != "$prl_before" ]] || break
done
prl_torchrun_code=$prl_code

# --- what ms-swift does not say -------------------------------------------------------------------

# The last Python error of this attempt, with the user's own file and line where the traceback has one, and with
# its cause. Connections that break when a rank has ended are no cause. awk: lines of each rank are apart.
prl_python_error() {
  prl_this_attempt | tail -c 400000 | tr '\r' '\n' | LC_ALL=C awk '
    { rank = ""
      while (match($0, /^\[(default|rank)[0-9]+\]: ?/)) { rank = substr($0, 1, RLENGTH); $0 = substr($0, RLENGTH + 1) } }
    match($0, /Failed to (load|read) [A-Za-z]+ from file .*|Failed to read file .*/) { data = substr($0, RSTART) } # datasets says it in its log
    /^ *[|+ ]*Traceback \(most recent call last\):/ {
      if (!chained[rank]) cause[rank] = mine[rank] = swift[rank] = ""
      chained[rank] = 0; inside[rank] = 1; next
    }
    /^(During handling of the above exception|The above exception was the direct cause)/ {
      chained[rank] = 1; cause[rank] = said[rank]; mine[rank] = before[rank]; next
    }
    /^ *File ".*", line [0-9]+/ {
      inside[rank] = 1; source[rank] = 0
      file = $0; sub(/^ *File "/, "", file); sub(/".*/, "", file)
      number = $0; sub(/^.*", line /, "", number); sub(/[^0-9].*/, "", number)
      if (file ~ /\/(site|dist)-packages\/swift\//) { # what follows is the line itself
        sub(/^.*-packages\//, "", file); swift[rank] = file ", line " number; source[rank] = 1
      } else if (file ~ /\.py$/ && file !~ /^<|\/(site|dist)-packages\/|\/lib\/python[0-9.]*\/|\/bin\/torchrun$/) mine[rank] = file ", line " number
      next
    }
    source[rank] && /^    / { sub(/^ +/, ""); swift[rank] = swift[rank] ": " $0; source[rank] = 0; next }
    /^[A-Za-z_][A-Za-z0-9_.]*(Error|Exception|Interrupt|Invalid|Exit)(: .*)?$/ && (inside[rank] || /: ./) {
      where = mine[rank] != "" ? mine[rank] : swift[rank]
      before[rank] = mine[rank]; inside[rank] = 0; mine[rank] = swift[rank] = ""
      if (/ChildFailedError|Connection (closed|reset) by peer|DistNetworkError|DistBackendError/) next
      said[rank] = $0
      text = rank $0
      if (where != "") text = text " (" where ")"
      if (/DatasetGeneration/ && data != "") cause[rank] = data
      if (cause[rank] != "" && cause[rank] != $0) text = text "; its cause: " cause[rank]
    }
    END { print text }'
}
prl_last_error() {
  local prl_line prl_number
  prl_line=$(prl_python_error) || true
  if [[ -z $prl_line ]]; then
    prl_line=$(prl_last_signal)
    if [[ $prl_line =~ ^Signal\ (9|7|24|25)\  ]]; then
      prl_number=${BASH_REMATCH[1]}
      prl_line+=" ($(prl_words_of_signal "$prl_number"))"
      [[ $prl_number != 9 ]] || prl_line="${prl_line/killed (SIGKILL);/killed from outside;}"
    fi
  fi
  prl_cut "$prl_line" 500 | iconv -c -f UTF-8 -t UTF-8 2>/dev/null || true
}
# The cause is often at the end, and what it is about at the beginning.
prl_cut() { # TEXT LENGTH
  local prl_head=$(($2 / 2 - 2))
  ((${#1} > $2)) && printf '%s ... %s' "${1:0:prl_head}" "${1: -prl_head}" || printf '%s' "$1"
}
prl_last_signal() { prl_this_attempt | grep -aoE 'Signal [0-9]+ \(SIG[A-Z]+\) received by PID [0-9]+' | tail -n 1 || true; }

# No `grep -q` here: it would end `tail` with SIGPIPE, which pipefail takes for a failure.
prl_trained_nothing() {
  ! prl_appended | grep -E '"global_step/max_steps": *"[1-9]' >/dev/null && [[ -z $(prl_new_checkpoints) ]]
}

# When all is done, a rank may still crash: threads of torch ask for an interpreter that has gone
# (pytorch#190489), and torchrun exits with 1, often before its first rank has written its last line.
prl_came_to_its_end() { # this node's first rank
  prl_this_attempt | grep -aF 'End time of running main' >/dev/null
}
# No process failed by itself: torchrun tells exit codes below 0 for signals. Where several ended, others may have
# failed because of the first one, which torchrun names.
prl_only_crashed() {
  local prl_codes prl_first
  ((prl_code <= 128)) || [[ -z $prl_done ]] || return 0 # torchrun itself
  prl_codes=$(prl_this_attempt | grep -aoE '(Root Cause|exitcode +: -?[0-9]+)') || return 1
  prl_first=$(sed -n '/Root Cause/,$p' <<<"$prl_codes" | grep -oE -e '-?[0-9]+$' | sed -n 1p) || true
  [[ ${prl_first:-$(grep -oE -e '-?[0-9]+$' <<<"$prl_codes" | sort -n | tail -n 1)} == -* ]]
}
# ms-swift also exits 0 where its ranks were told to stop, saved a checkpoint and left the loop. The line with
# train_runtime, which it logs behind the loop, says how far it came; into prl_step and prl_max_steps.
prl_ended_early() {
  local prl_last
  prl_last=$(prl_appended | grep -F '"train_runtime"' | grep -oE '"global_step/max_steps": *"[0-9]+/[0-9]+' | tail -n 1) || return 1
  prl_last=${prl_last##*\"}
  ((${prl_last%/*} < ${prl_last#*/})) || return 1
  prl_step=${prl_last%/*} prl_max_steps=${prl_last#*/}
}
# Whether the spec asks for early stopping: by ms-swift's callbacks, or by one of a plugin.
prl_stops_early() {
  local prl_i
  [[ -z $(prl_argument callbacks)$(prl_argument early_stop_interval) ]] || return 0
  for prl_i in "${prl_swift_args[@]}"; do
    [[ $prl_i != *.py || ! -r $prl_i ]] || ! grep -qE 'should_training_stop|EarlyStopping|extra_callbacks' "$prl_i" || return 0
  done
  return 1
}

prl_nothing="ms-swift ended without one training step; is the data set smaller than one generation batch?"

if [[ -z $prl_signalled && $prl_code != 0 ]]; then
  prl_error=$(prl_last_error)
  prl_reason="torchrun exited with $prl_code"
  [[ -n $prl_error ]] && prl_reason+=": $prl_error" || prl_reason+=$(prl_words_of_code "$prl_code")
  prl_ended_well=
  if prl_came_to_its_end && { ((prl_node_rank > 0)) || prl_trained_nothing; } || prl_is_done; then prl_ended_well=1; fi
  if [[ -n $prl_ended_well ]] && prl_only_crashed; then
    prl_crash=$(prl_last_signal)
    prl_code=0 prl_reason="the training came to its end; a process crashed on its way out: ${prl_crash:-$prl_reason}"
  elif [[ -n $prl_done ]]; then
    prl_reason="$prl_done; then: $prl_reason"
  elif ((prl_node_rank == 0)) && prl_came_to_its_end && prl_trained_nothing; then # what came then is not the cause
    prl_reason="$prl_nothing (then: $prl_reason)"
  fi
fi
if [[ -z $prl_signalled && $prl_code == 0 && $prl_node_rank == 0 ]]; then
  # Exit 0 is not yet success: a data set smaller than one generation batch trains nothing, and
  # ranks that never found each other train one by one into the same directory.
  if prl_trained_nothing; then prl_fail 65 "$prl_nothing"; fi
  if ((prl_nodes * prl_nproc_per_node > 1)); then
    prl_doubled=$(prl_appended | grep -F '"learning_rate"' | grep -oE '"global_step/max_steps": *"[0-9]+' | sort | uniq -d) || true
    prl_alone=$(find "$prl_run_dir" -mindepth 2 -maxdepth 2 -path '*/checkpoint-*/rng_state.pth' -newer "$prl_began" 2>/dev/null) || true
    if [[ -n $prl_doubled || -n $prl_alone ]]; then
      prl_fail 65 "each process trained alone: $((prl_nodes * prl_nproc_per_node)) trainings of world size 1 instead of one of $((prl_nodes * prl_nproc_per_node))"
    fi
  fi
  if prl_ended_early; then
    prl_stops_early || prl_fail 65 "ended at step $prl_step of $prl_max_steps, and nothing in the spec stops it early: its ranks were told to stop"
    prl_reason="stopped early, at step $prl_step of $prl_max_steps"
  fi
fi
prl_trained=1
exit "$prl_code"
