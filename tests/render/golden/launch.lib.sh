# shellcheck shell=bash
# shellcheck disable=SC2154 # launch.sh assigns the values of a job (listed below) before it reads this file.
#
# What launch.sh does around a training: the lock of the run directory, signals, restarts, checkpoints and exit.json.
# This file is the same for every job. It lies beside launch.sh, which reads it and then calls:
#
#   prl_begin             take the run directory, open the log, hear signals
#   prl_lend_shell WHAT   before lines that are not ours (conda, modules, setup lines); prl_take_back after them
#   prl_end_environment   restores the shell, its output and the working directory
#   prl_continue          after a restart: go on from the last complete checkpoint
#   prl_need, prl_preflight         stop now for what would stop the training minutes later
#   prl_before_training, prl_run torchrun …, prl_after_training
#
# Every name in this file begins with prl_, because setup lines run in the same shell. The values that launch.sh assigns:
#
#   prl_run_dir prl_workdir prl_token    the run directory, the job's working directory, the mark of the run's processes
#   prl_nodes prl_node_rank prl_nproc_per_node prl_needs_gpus
#   prl_time_limit prl_time_limit_words  seconds, 0 if launch.sh has no time limit of its own; the limit in the spec's words
#   prl_grace                            seconds between SIGTERM and SIGKILL
#   prl_max_restarts prl_resumed         how often a scheduler may start the job again; how often `resume` has
#   prl_swift_args                       ms-swift's arguments
#
# launch.sh assigns these only where they are 1:
#
#   prl_in_pods prl_kueue                in a pod of Kubernetes; where Kueue may suspend the job
#   prl_leaves_children                  where the scheduler may kill launch.sh and leave its processes
#   prl_on_platform                      where a platform tells each node its place by variables: see prl_identify

# --- this shell -----------------------------------------------------------------------------------

# The commands of this file. A function of that name, inherited or from a setup line, would run in place of the command.
prl_commands=(: . "[" alias awk bind break builtin cat cd cksum command compgen continue date declare df dirname disown echo
  enable env eval exec exit export false find flock getent grep head iconv id jobs kill let local ls mapfile mkdir
  mktemp mv nvidia-smi printf pwd read readlink readonly return rm rmdir sed set shift shopt sleep sort source stat tail
  tee test timeout torchrun touch tr trap true truncate type ulimit umask unalias uname uniq unset wait wc xargs)

# Remove such functions, and set the options that this file is written for. Lines that are not ours have run before:
# those of whoever started launch.sh, or of a module, an activation or the setup.
prl_own_shell() {
  POSIXLY_CORRECT=1 # as long as it is set, no function runs in place of unset and set
  unset -f "${prl_commands[@]}" 2>/dev/null || :
  set +o posix
  enable "${prl_commands[@]}" 2>/dev/null || : # after `enable -n NAME`
  if unset -v IFS 2>/dev/null; then IFS=$' \t\n'; fi # it may be read-only
  set -euo pipefail +afkvxCET
  shopt -u expand_aliases failglob nullglob dotglob nocaseglob nocasematch extdebug lastpipe xpg_echo 2>/dev/null || :
  trap - RETURN ERR
  # Not `trap - DEBUG`: at the end of a function bash restores a trap on DEBUG that the function has removed.
  [[ -z $(trap -p DEBUG) ]] || trap : DEBUG
  # A PATH that nobody expanded must not hide the commands of this file.
  [[ :${PATH:-}: == *:/usr/bin:* ]] || PATH=${PATH:+$PATH:}/usr/bin
  [[ :$PATH: == *:/bin:* ]] || PATH=$PATH:/bin
}
prl_own_shell

prl_doing="starting"
prl_setup_exit='' prl_errexit=-e

# Before lines that are not ours.
prl_lend_shell() { # [WHAT]: what they do, for exit.json's reason
  [[ -z ${1:-} ]] || prl_refuse_line "$1"
  # shellcheck disable=SC2329 # the lines that are not ours call it
  [[ -o posix ]] || trap() { prl_trap "$@"; } # in POSIX mode no function may have its name
  builtin set +u "$prl_errexit"
}

# A setup line that begins with `exec PROGRAM` would run PROGRAM in place of launch.sh, after `set -n` bash runs no
# command, and launch.sh could not set a variable that is read-only: the job would end without exit.json. Only the
# text of the line is looked at: a trap on DEBUG would see more, but it changes $_ and slows the line down.
prl_refuse_line() { # "WHAT: LINE"
  local prl_line=${1#*: } prl_options='([[:space:]]+-[a-zA-Z]+)*[[:space:]]+'
  prl_doing=$1
  prl_tell "$prl_doing"
  if [[ $prl_line =~ ^[[:space:]]*exec[[:space:]]+[^[:space:]\<\>\&\{0-9] && ${prl_line//&&/} != *[\&\|]* ]] ||
    [[ $prl_line =~ ^[[:space:]]*set[[:space:]]+(-n|-o[[:space:]]+noexec)([[:space:];]|$) ]]; then
    prl_reason="$prl_doing: it ends launch.sh's shell before the training"
    builtin exit 78
  fi
  if [[ $prl_line =~ ^[[:space:]]*(readonly|declare[[:space:]]+-[a-zA-Z]*r[a-zA-Z]*|typeset[[:space:]]+-[a-zA-Z]*r[a-zA-Z]*)$prl_options'prl_' ]]; then
    prl_reason="$prl_doing: names that begin with prl_ are launch.sh's own"
    builtin exit 78
  fi
}

# After lines that are not ours. A `set +e` in the spec itself holds for the setup lines that follow; one in a sourced
# file does not.
prl_take_back() {
  local prl_theirs
  if [[ $- == *e* ]]; then
    prl_errexit=-e
  elif [[ $prl_doing == *"set +"*e* ]]; then
    prl_errexit=+e
  fi
  prl_theirs=$(builtin trap -p EXIT) # a line may have called `builtin trap`
  if [[ $prl_theirs != "trap -- 'prl_finish' EXIT" ]]; then
    prl_setup_exit=''
    [[ -z $prl_theirs ]] || eval "prl_setup_exit=${prl_theirs:8:-5}" # between `trap -- ` and ` EXIT`, quoted
  fi
  prl_arm
  builtin set "$prl_errexit"
}

# Replaces `trap` in lines that are not ours: they cannot change what launch.sh does on EXIT and on the signals that it
# handles. A command that they set for EXIT is kept, and runs at the end of the job.
prl_trap() {
  local prl_action prl_signal
  if ((BASH_SUBSHELL > 0)) || [[ $# == 0 || $1 == -[lp]* ]]; then
    # shellcheck disable=SC2064 # the words are the caller's, and quoted as the caller wanted
    builtin trap "$@"
    return
  fi
  [[ $1 != -- ]] || shift
  prl_action=$1
  if (($# == 1)) || [[ $1 == [0-9]* ]]; then prl_action=-; else shift; fi
  for prl_signal in "$@"; do
    case ${prl_signal^^} in
      EXIT | 0) prl_setup_exit=${prl_action#-} ;;
      1 | HUP | SIGHUP | 2 | INT | SIGINT | 15 | TERM | SIGTERM) ;;
      10 | USR1 | SIGUSR1 | 12 | USR2 | SIGUSR2 | 13 | PIPE | SIGPIPE | 14 | ALRM | SIGALRM) ;;
      *) builtin trap -- "$prl_action" "$prl_signal" ;;
    esac
  done
}

# From here on the shell, its output and the working directory are launch.sh's again.
prl_end_environment() {
  prl_own_shell
  exec >&"$prl_out" 2>&1
  [[ . -ef $prl_workdir ]] || prl_say "a setup line went to $PWD; the training runs in $prl_workdir, which is the spec's workdir"
  prl_enter_workdir
  if [[ -n $prl_required && $(type -P torchrun) != "$prl_required" ]]; then
    prl_say "torchrun is $(type -P torchrun): environment.env or a setup line put it before $prl_required"
  fi
}

# --- the beginning --------------------------------------------------------------------------------

# The values that launch.sh leaves out are 0. An exported variable of such a name is not launch.sh's.
for prl_name in prl_in_pods prl_kueue prl_leaves_children prl_on_platform; do
  [[ $(declare -p "$prl_name" 2>/dev/null) == "declare -- "* ]] || printf -v "$prl_name" 0
done
unset prl_name

# The state of the job. Inherited environment variables of these names are overwritten.
prl_started_at='' prl_host='' prl_exit_file='' prl_log_file=''
prl_state='' prl_reason='' prl_signalled='' prl_timed_out='' prl_trained='' prl_done='' prl_required=''
prl_child='' prl_watchdog='' prl_canary='' prl_watcher='' prl_tee='' prl_terminal='' prl_lock=''
prl_began='' prl_short_tmp='' prl_home_note='' prl_suspensions='' prl_last_reason='' prl_choice=''
prl_checkpoint='' prl_step='' prl_max_steps='' prl_old_end=''
prl_ended='' prl_code=0 prl_again=0 prl_counted=0 prl_restarts=0 prl_used_up='' prl_interrupts=0 prl_torchrun_code=-1 prl_out=1
prl_python=() prl_python_is_named='' prl_faults=() prl_needs=()
# The preflight stops the job if less room is free, because a run whose checkpoints do not fit is lost.
prl_min_free_mib=1024

prl_begin() {
  # Not $HOSTNAME, which a job may inherit from where it was submitted.
  prl_host=${SLURMD_NODENAME:-$(uname -n)}
  ((prl_on_platform == 0)) || prl_identify
  prl_exit_file=$prl_run_dir/exit.json
  ((prl_node_rank == 0)) || prl_exit_file=$prl_run_dir/logs/node$prl_node_rank.exit.json
  prl_log_file=$prl_run_dir/logs/node$prl_node_rank.log
  ((prl_on_platform == 0)) || prl_take_node
  prl_count_starts
  # torch asks for the user's name, and the uid of a container may have none.
  id -un >/dev/null 2>&1 || export USER=${USER:-prl-submit} LOGNAME=${LOGNAME:-prl-submit}
  prl_find_home
  prl_forget_outer_training
  prl_count_attempts
  prl_started_at=$(prl_now)

  if ((prl_on_platform == 0)); then
    mkdir -p -- "$prl_run_dir"
    prl_refuse_links
    prl_take_run_dir
  fi
  prl_arm
  prl_doing="making the folder of the logs"
  mkdir -p -- "$prl_run_dir/logs"
  prl_find_old_end
  [[ -z $prl_old_end ]] || prl_say "$prl_old_end" >&2
  prl_begin_exit_file
  prl_open_log
  prl_say "$prl_started_at on $prl_host, node $prl_node_rank of $prl_nodes, restarts $prl_restarts"
  [[ -z $prl_old_end ]] || prl_say "$prl_old_end"
  [[ -z $prl_home_note ]] || prl_say "$prl_home_note"
  # The mark of this node's processes. It has the node's rank, because two nodes of a job may be one machine, and the
  # directory, because scripts that were rendered and not submitted all have the same token.
  export PRL_SUBMIT_TOKEN
  PRL_SUBMIT_TOKEN=$prl_token.$prl_node_rank.$(stat -c %d.%i -- "$prl_run_dir")
  prl_refuse_another_restart
  ((prl_on_platform == 0)) || prl_begin_on_platform
  prl_watch_time prl_end_setup
  prl_doing="entering the working directory"
  prl_enter_workdir
}

prl_now() { date +%Y-%m-%dT%H:%M:%S%:z; }

prl_enter_workdir() {
  prl_doing="entering the working directory"
  cd -- "$prl_workdir" || prl_fail 78 "working directory $prl_workdir is not on $prl_host"
}

# Where nodes are started one by one, a node does not know how often it was started. On the shared disk, a file for each
# node has a line for each start. All nodes of an attempt take the same number: that of the node that was started most
# often.
prl_starts_alone() { ((prl_on_platform)) || [[ $prl_in_pods == 1 && -n ${PRL_SUBMIT_POD:-} ]]; }
prl_starts_file() { # NODE
  printf '%s' "$prl_run_dir/logs/.starts$1.$prl_token"
}
prl_starts_of() { # NODE
  local prl_lines=()
  { mapfile -t prl_lines <"$(prl_starts_file "$1")"; } 2>/dev/null || true
  echo "${#prl_lines[@]}"
}
prl_count_starts() {
  local prl_starts prl_started prl_i prl_place=pod
  prl_starts_alone || return 0
  ((prl_in_pods)) || prl_place=node
  prl_starts=$(prl_starts_file "$prl_node_rank")
  if ! mkdir -p -- "$prl_run_dir/logs" || ! : >>"$prl_starts"; then
    echo "prl-submit: run directory $prl_run_dir is not writable for uid $(id -u) of this $prl_place" >&2
    exit 78
  fi
  export PRL_SUBMIT_RESTARTS
  PRL_SUBMIT_RESTARTS=$(prl_starts_of "$prl_node_rank")
  for ((prl_i = 0; prl_i < prl_nodes; prl_i++)); do
    prl_started=$(prl_starts_of "$prl_i")
    ((prl_started <= PRL_SUBMIT_RESTARTS + 1)) || PRL_SUBMIT_RESTARTS=$((prl_started - 1))
  done
  ((prl_on_platform == 0)) || prl_pass_nodes_that_are_gone
  while (($(prl_starts_of "$prl_node_rank") <= PRL_SUBMIT_RESTARTS)); do
    if ! echo "${PRL_SUBMIT_POD:-$prl_host}" >>"$prl_starts"; then
      echo "prl-submit: $prl_starts cannot be written: is the disk full?" >&2
      exit 1
    fi
  done
  ((prl_in_pods == 0)) || [[ -w ${HOME:-/nowhere} ]] || export HOME=/tmp
}

# Python needs HOME. A service has none, and an inherited HOME may be another user's.
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
prl_own_folder() { # a folder into which nobody else can have put anything
  local prl_folder
  prl_folder=/tmp/prl-submit-home-$(id -u)
  mkdir -m 700 -- "$prl_folder" 2>/dev/null || [[ -O $prl_folder && ! -L $prl_folder && -d $prl_folder ]] ||
    prl_folder=$(mktemp -d 2>/dev/null) || prl_folder=/tmp
  printf '%s' "$prl_folder"
}
# The home may be read-only on compute nodes, but caches of data sets and compiled kernels are written below it.
prl_move_caches() {
  local prl_cache
  prl_cache=${XDG_CACHE_HOME:-$(prl_own_folder)/.cache}
  [[ ! -d $HOME/.cache/huggingface/hub ]] || export HF_HUB_CACHE=${HF_HUB_CACHE:-${HF_HOME:-$HOME/.cache/huggingface}/hub}
  export XDG_CACHE_HOME=$prl_cache HF_HOME=${HF_HOME:-$prl_cache/huggingface} TRITON_CACHE_DIR=${TRITON_CACHE_DIR:-$prl_cache/triton}
  export MODELSCOPE_CACHE=${MODELSCOPE_CACHE:-$prl_cache/modelscope/hub}
  prl_home_note="HOME is $HOME, which is read-only; this job's caches are in $prl_cache"
}

# torchrun reads a variable PET_NAME for each of its options, and ranks read RANK and the like. A platform's pod, or a
# torchrun around this job, may have set them for itself. This job's own are on torchrun's command line or in the spec.
prl_forget_outer_training() {
  local prl_name prl_names=(WORLD_SIZE RANK LOCAL_RANK LOCAL_WORLD_SIZE GROUP_RANK GROUP_WORLD_SIZE ROLE_NAME ROLE_RANK
    ROLE_WORLD_SIZE NNODES NPROC_PER_NODE TORCHELASTIC_ERROR_FILE TORCHELASTIC_MAX_RESTARTS TORCHELASTIC_RESTART_COUNT
    TORCHELASTIC_RUN_ID TORCHELASTIC_USE_AGENT_STORE)
  ((prl_nodes > 1 && !prl_on_platform)) || prl_names+=(NODE_RANK MASTER_ADDR MASTER_PORT)
  for prl_name in "${!PET_@}" "${prl_names[@]}"; do
    case $prl_name in PET_TEE | PET_REDIRECTS | PET_LOG_DIR) ;; *) unset "$prl_name" ;; esac
  done
}

# How often the scheduler has restarted the job. prl_counted: the restarts that restarts.max limits.
prl_count_attempts() {
  local prl_suspended
  prl_again=${PRL_SUBMIT_RESTARTS:-0}
  prl_restarts=$((prl_resumed + prl_again))
  prl_counted=$prl_again
  ((prl_on_platform == 0)) || prl_count_trainings
  ((prl_in_pods)) || return 0
  if ((prl_max_restarts == 0)); then
    # The operator starts no pod again that has failed. It made this one after the job was suspended, as Kueue does to
    # admit another job, and admitted again.
    prl_counted=0
  elif ((prl_kueue)); then
    # Kueue suspends and admits a job as often as it likes. Attempts that SIGTERM from outside ended do not count.
    prl_suspensions=$prl_run_dir/logs/.suspended.$prl_token
    prl_suspended=$({ sort -u -- "$prl_suspensions" 2>/dev/null || true; } | wc -l)
    prl_counted=$((prl_again > prl_suspended ? prl_again - prl_suspended : 0))
  fi
}
prl_refuse_another_restart() {
  if ((prl_in_pods == 0 && prl_on_platform == 0)); then
    ((prl_again <= prl_max_restarts)) || prl_fail 1 "started again $prl_again times; restarts.max is $prl_max_restarts"
  elif ((prl_counted > prl_max_restarts)); then
    # shellcheck disable=SC2034 # platform_nodes.lib.sh uses it
    prl_used_up=1
    prl_restarts=$((prl_restarts - 1)) # this start is no restart
    prl_fail 1 "${prl_last_reason:-killed without a word, out of memory is the usual cause}; restarts.max is $prl_max_restarts, and used up$(prl_what_to_do)"
  fi
}

# Anybody who may write into this directory may have put symbolic links there. launch.sh writes through none of them.
prl_refuse_links() {
  local prl_file
  for prl_file in "$prl_run_dir"/{".node$prl_node_rank.lock",logging.jsonl,completions.jsonl,logs} "$prl_exit_file" "$prl_exit_file.part" \
    "$prl_log_file" "$prl_run_dir"/logs/{attempts.jsonl,.job,".began$prl_node_rank",".pod$prl_node_rank"} \
    "$prl_run_dir"/logs/{".alive$prl_node_rank"{,.part},".stop.$prl_token",".from.$prl_token.part",".trainings.$prl_token"}; do
    [[ ! -L $prl_file ]] || {
      echo "prl-submit: $prl_file is a symbolic link, through which nothing is written" >&2
      exit 78
    }
  done
}

# This lock stops a second job in the same run directory. All children inherit it. If it cannot be taken (disk full,
# no flock, a file system without locks) the job runs without it.
prl_take_run_dir() {
  local prl_locked=0
  exec {prl_lock}>"$prl_run_dir/.node$prl_node_rank.lock" || prl_lock=''
  # A file server may need a minute or two to release the lock of a lost node.
  [[ -z $prl_lock ]] || ! type -P flock >/dev/null ||
    flock -w $((prl_again ? 180 : 0)) -E 75 "$prl_lock" || prl_locked=$?
  if ((prl_locked == 75)); then
    prl_say "$prl_run_dir is in use: its job still runs, 'prl-submit status' says more" >&2
    exit 75
  fi
}

# --- the log and exit.json, the job's own word on how it ended --------------------------------------

prl_say() { printf 'prl-submit: %s\n' "$*" >&"$prl_out"; } # into the log, wherever setup lines send their output

prl_open_log() {
  if ((prl_on_platform)); then
    prl_open_log_of_platform
    exec {prl_out}>&1
    return
  fi
  if [[ -t 2 ]]; then # a user started launch.sh: print the end on the terminal too
    exec {prl_terminal}>&2
    prl_say "output goes to $prl_log_file"
  fi
  if [[ $prl_in_pods == 1 && -n ${PRL_SUBMIT_POD:-} ]]; then
    prl_open_log_of_pod
  else
    exec >>"$prl_log_file" 2>&1 </dev/null
  fi
  exec {prl_out}>&1
}
prl_open_log_of_pod() { # `kubectl logs` has it too
  local prl_seen_by prl_where="in the pods alone: prl-submit collect brings it"
  prl_seen_by=$(cat -- "$prl_run_dir/logs/.here" 2>/dev/null) || true
  [[ $prl_seen_by != "$prl_token" ]] || prl_where="which is here too"
  echo "$PRL_SUBMIT_POD" >"$prl_run_dir/logs/.pod$prl_node_rank"
  exec > >(
    trap '' TERM INT HUP USR2 ALRM
    exec tee -a -- "$prl_log_file"
  ) 2>&1 </dev/null
  prl_tee=$!
  prl_say "pod $PRL_SUBMIT_POD writes to $prl_run_dir, $prl_where"
}

# Set prl_old_end to a sentence if this attempt has ended before, because then somebody has started launch.sh, or its batch
# script, by hand. After `resume` and after a restart by the scheduler, exit.json is about an earlier attempt.
prl_find_old_end() {
  local prl_old_state='' prl_old_restarts='' prl_from
  ((prl_again == 0 && prl_in_pods == 0 && prl_on_platform == 0 && prl_node_rank == 0)) || return 0
  read -r prl_old_state prl_old_restarts < <(
    sed -nE 's/.*"state": "([A-Z]+)".*"restarts": (0|[1-9][0-9]{0,8}),.*/\1 \2/p' "$prl_exit_file" 2>/dev/null
  ) || return 0
  ((prl_old_restarts >= prl_resumed)) || return 0
  prl_from=$(prl_argument resume_from_checkpoint)
  prl_from=${prl_from##*/}
  prl_old_end="this run had ended ($prl_old_state); started by hand, it trains again from ${prl_from:-the beginning} and "
  prl_old_end+="replaces its checkpoints; \`prl-submit resume\` would continue it"
}

# Remove an earlier attempt's exit.json, and keep room for this one's, since the disk may be full at the end.
prl_begin_exit_file() {
  ((prl_on_platform == 0)) || prl_find_last_reason
  ((prl_in_pods == 0)) ||
    prl_last_reason=$(sed -nE 's/.*"reason": "(.*)"\}.*/\1/p' "$prl_exit_file" 2>/dev/null) || true
  rm -f -- "$prl_exit_file"
  prl_note_attempt "$(prl_start_text)"
  # Under Slurm: which job has the run, also where somebody typed sbatch. 4711_3 is task 3 of an array.
  if [[ $prl_node_rank == 0 && -n ${SLURM_JOB_ID:-} ]]; then
    local prl_job=$SLURM_JOB_ID
    [[ -z ${SLURM_ARRAY_TASK_ID:-} ]] || prl_job=${SLURM_ARRAY_JOB_ID:-}_$SLURM_ARRAY_TASK_ID
    echo "$prl_job" >"$prl_run_dir/logs/.job"
  fi
  printf '%4096s\n' '' >"$prl_exit_file.part"
}

# exit.json is only about the last attempt. logs/attempts.jsonl has all: a line for each start and each end.
prl_note_attempt() { # JSON
  [[ $prl_node_rank == 0 ]] || return 0
  printf '%s\n' "$1" >>"$prl_run_dir/logs/attempts.jsonl" || true
}

prl_start_text() { # the JSON of an attempt's first line
  local prl_until
  prl_until=$(prl_last_sign) || true
  printf '{"started_at": "%s", "restarts": %d, "node": %s, "nodes": %d, "gpus": %d' "$prl_started_at" "$prl_restarts" \
    "$(prl_json_string "$prl_host")" "$prl_nodes" $((prl_needs_gpus ? prl_nodes * prl_nproc_per_node : 0))
  [[ -z $prl_until ]] || printf ', "earlier_until": "%s"' "$prl_until"
  printf '}'
}
# When an earlier attempt wrote a step or its log last, for an attempt that was killed before it could write its end.
prl_last_sign() {
  local prl_file=$prl_log_file prl_log=$prl_run_dir/logging.jsonl
  [[ ! $prl_log -nt $prl_file ]] || prl_file=$prl_log
  [[ ! -f $prl_file ]] || date -r "$prl_file" +%Y-%m-%dT%H:%M:%S%:z
}

prl_json_string() {
  local prl_text=${1//\\/\\\\}
  prl_text=${prl_text//\"/\\\"}
  printf '"%s"' "${prl_text//[[:cntrl:]]/ }"
}

prl_fail() { # CODE REASON
  prl_reason=$2
  exit "$1"
}

# Runs at every end of launch.sh: it ends all that is left of the job, and writes exit.json.
prl_finish() {
  prl_code=$?
  prl_own_shell
  trap - EXIT
  trap '' TERM INT HUP USR1 USR2 ALRM
  set +e
  prl_hear # a setup line that was ended may have ended this shell before the trap ran
  [[ -z $prl_heard || -n $prl_signalled$prl_trained ]] || prl_signalled=15
  prl_tell "ending"
  prl_end_helpers
  prl_leave_nothing_behind
  prl_run_setup_exit
  [[ -z $prl_short_tmp ]] || { rm -f -- "$prl_short_tmp/t"; rmdir -- "$prl_short_tmp"; } 2>/dev/null
  [[ $prl_signalled != 15 || ! -e $prl_run_dir/logs/.time-limit ]] || prl_timed_out=warned
  prl_wait_for_node_0
  prl_judge
  [[ -z $prl_suspensions || $prl_node_rank != 0 || $prl_signalled != 15 || $prl_state != FAILED ]] || echo "$prl_again" >>"$prl_suspensions"
  [[ -z $prl_starts_anew || $prl_state != FAILED ]] || prl_start_anew
  prl_write_exit_file
  ((prl_on_platform == 0)) || prl_end_on_platform
  # The training operator restarts a pod that exits with 128 or more.
  [[ $prl_in_pods == 0 || $prl_state != TIMEOUT ]] || ((prl_counted >= prl_max_restarts)) || exit 201
  exit "$prl_code"
}

prl_end_text() { # the JSON of exit.json
  printf '{"exit_code": %d, "state": "%s", "started_at": "%s", "ended_at": "%s", ' \
    "$prl_code" "$prl_state" "$prl_started_at" "$(prl_now)"
  printf '"restarts": %d, "node": %s, "reason": ' "$prl_restarts" "$(prl_json_string "$prl_host")"
  if [[ -z $prl_reason ]]; then printf 'null'; else prl_json_string "$prl_reason"; fi
  printf '}'
}
prl_write_exit_file() {
  local prl_text prl_i
  prl_text=$(prl_end_text)
  if prl_is_superseded; then
    prl_say "$prl_state${prl_reason:+: $prl_reason}; exit.json is not written, because it belongs to the later start"
    return
  fi
  prl_note_attempt "$prl_text"
  # 1<>: write in place, because on a full disk only the room that was reserved for this is left.
  printf '%s\n' "$prl_text" 1<>"$prl_exit_file.part"
  (LC_ALL=C; truncate -s $((${#prl_text} + 1)) -- "$prl_exit_file.part")
  prl_say "$prl_state${prl_reason:+: $prl_reason}"
  [[ -z $prl_terminal ]] || prl_out=$prl_terminal prl_say "$prl_state${prl_reason:+: $prl_reason}"
  if [[ -n $prl_tee ]]; then # the container ends with this shell, and would end tee too early
    [[ ! -w /dev/termination-log ]] || printf '%s' "$prl_text" >/dev/termination-log
    exec >&- 2>&- {prl_out}>&-
    for ((prl_i = 0; prl_i < 50; prl_i++)); do kill -0 "$prl_tee" || break; sleep 0.1; done 2>/dev/null
  fi
  mv -f -- "$prl_exit_file.part" "$prl_exit_file" # last, because whoever sees exit.json takes the log for complete
}

# Decide how the job ended: sets prl_code, prl_state and prl_reason.
prl_judge() {
  if [[ -n $prl_timed_out ]]; then
    prl_code=124 prl_state=TIMEOUT prl_reason="the time limit of $prl_time_limit_words was reached"
    [[ $prl_timed_out != warned ]] || prl_reason="warned by Slurm of the time limit of $prl_time_limit_words, and stopped"
    ((prl_in_pods == 0)) || prl_reason="stopped for the time limit of $prl_time_limit_words"
  elif [[ -n $prl_signalled ]]; then
    prl_judge_signal
  elif [[ $prl_code != 0 && -z $prl_reason ]]; then
    prl_reason="failed while $prl_doing (exit code $prl_code$(prl_words_of_code "$prl_code"))"
  elif [[ $prl_code == 0 && -z $prl_trained ]]; then
    # `exit 0` in a setup line, or a here-document without its end, must not look like success.
    prl_code=78 prl_reason="ended while $prl_doing, before the training"
  fi
  if [[ -n $prl_timed_out$prl_signalled && -n $prl_began ]] && prl_is_done; then
    prl_code=0 prl_state=SUCCEEDED prl_reason="$prl_done; then: $prl_reason"
  fi
  [[ -z $prl_state ]] || return 0
  prl_state=FAILED
  [[ $prl_code != 0 ]] || prl_state=SUCCEEDED
}
prl_judge_signal() {
  prl_code=$((128 + prl_signalled)) prl_state=FAILED prl_reason="stopped by signal $prl_signalled while $prl_doing"
  [[ -z $prl_told_to_stop ]] || prl_reason="$prl_told_to_stop while $prl_doing"
  if [[ -n $prl_blamed ]]; then
    prl_code=$prl_blamed prl_reason=$prl_blame
  elif [[ -e $prl_run_dir/cancel.json ]]; then
    prl_state=CANCELLED prl_reason=$(prl_cancel_reason)
  elif [[ $prl_signalled == 2 ]]; then
    prl_state=CANCELLED prl_reason="interrupted (SIGINT) while $prl_doing"
  fi
}

prl_cancel_reason() { sed -n 's/.*"reason": *"\([^"]*\)".*/\1/p' "$prl_run_dir/cancel.json"; }

# An exit code above 128 in words: 128 and the number of a signal. Some signals come from the limits of `ulimit`.
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

# --- processes and signals --------------------------------------------------------------------------

# Every process that the job started has the token in its environment, also after it has left its process group.
prl_job_processes() {
  local prl_file prl_files=()
  mapfile -t prl_files < <(env -u PRL_SUBMIT_TOKEN grep -lszxF -e "PRL_SUBMIT_TOKEN=$PRL_SUBMIT_TOKEN" \
    /proc/[0-9]*/environ 2>/dev/null || true)
  ((${#prl_files[@]} > 0)) || return 0
  for prl_file in "${prl_files[@]}"; do prl_file=${prl_file#/proc/}; echo "${prl_file%/environ}"; done
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

prl_signal_all() { # SIGNAL PIDS, one on a line
  local prl_pids=()
  mapfile -t prl_pids < <(printf '%s' "$2")
  ((${#prl_pids[@]} == 0)) || kill -"$1" "${prl_pids[@]}" 2>/dev/null || true
}
prl_signal_job() { prl_signal_all "$1" "$(prl_job_processes)"; } # SIGNAL

prl_leave_nothing_behind() {
  local prl_left prl_seconds
  for prl_seconds in 0 0.1 0.3 0.6 1 3; do
    sleep "$prl_seconds"
    prl_left=$(prl_background_shells; prl_job_processes)
    [[ -n $prl_left ]] || return 0
    prl_signal_all TERM "$prl_left"
  done
  # While the processes are listed, one of them may start another one, so they are listed again after the kill.
  for prl_seconds in 0.1 0.2 0.3 0.5; do
    prl_left=$(prl_background_shells; prl_job_processes)
    [[ -n $prl_left ]] || return 0
    prl_signal_all KILL "$prl_left"
    sleep "$prl_seconds"
  done
}

# The processes that launch.sh itself started beside the training.
prl_end_helpers() {
  [[ -z $prl_watchdog ]] || kill "$prl_watchdog"
  [[ -z $prl_canary ]] || kill -KILL "$prl_canary"
  [[ -z $prl_watcher ]] || kill -KILL -- "-$prl_watcher"
} 2>/dev/null

# Run the command that a setup line set for EXIT. It gets ten seconds.
prl_run_setup_exit() {
  local prl_pid prl_i
  [[ -n $prl_setup_exit ]] || return 0
  set -m # a process group of its own, which can be ended as a whole
  (set +eum; eval "$prl_setup_exit") &
  prl_pid=$!
  set +m
  for ((prl_i = 0; prl_i < 100; prl_i++)); do ! prl_is_over "$prl_pid" || return 0; sleep 0.1; done
  kill -KILL -- "-$prl_pid" 2>/dev/null
}

# Told to stop, node 0 saves the checkpoint; srun ends it as soon as another node is gone. Pods end one by one.
prl_wait_for_node_0() {
  local prl_seconds
  [[ -n $prl_signalled && $prl_node_rank != 0 && -z ${PRL_SUBMIT_POD:-} && $prl_on_platform == 0 ]] || return 0
  for ((prl_seconds = 0; prl_seconds < prl_grace; prl_seconds++)); do
    [[ ! -e $prl_run_dir/exit.json ]] || return 0
    sleep 1
  done
}

# Set the traps: every end runs prl_finish, and signals stop the training.
prl_arm() {
  builtin trap prl_finish EXIT
  builtin trap 'prl_pass_on TERM 15' TERM
  builtin trap 'prl_pass_on INT 2' INT
  builtin trap prl_time_is_up USR1
  builtin trap 'prl_pass_on USR2 12' USR2 # as a warning before the end, on some sites
  builtin trap 'prl_pass_on ALRM 14' ALRM
  builtin trap 'prl_interrupts=$((prl_interrupts + 1))' PIPE # SIGPIPE is no reason to end, but it interrupts `wait`
  builtin trap '' HUP # the job outlives the terminal
}

# Send a signal to torchrun, which sends it to its ranks, and kill what still runs after the grace. torchrun handles
# only SIGTERM and SIGINT.
prl_pass_on() { # SIGNAL NUMBER
  local prl_sent=TERM prl_until_kill=$prl_grace prl_got="got SIG$1"
  prl_own_shell
  prl_interrupts=$((prl_interrupts + 1))
  [[ -z $prl_signalled ]] || return 0
  prl_signalled=$2
  [[ -z $prl_timed_out ]] || prl_got="reached the time limit"
  if ((prl_on_platform)); then prl_hear "$prl_got"; fi
  [[ -n $prl_child ]] || exit $((128 + $2))
  if [[ -n $prl_blamed ]]; then
    prl_say "$prl_blame; the training ends on this node too"
    prl_until_kill=$prl_leave_grace # nothing can be saved
  else
    prl_say "${prl_told_to_stop:-got SIG$1}, passing it on; at most $prl_grace s until the kill"
    prl_tell "saving after SIG$1"
  fi
  [[ $1 != INT ]] || prl_sent=INT
  if [[ $1 != TERM ]] || ! prl_all_were_told; then kill -"$prl_sent" "$prl_child" 2>/dev/null || true; fi
  (sleep "$prl_until_kill" && prl_signal_job KILL) &
}

# Slurm signals launch.sh alone (proctrack/cgroup) or every process of the step (proctrack/linuxproc).
# A second SIGTERM makes torchrun kill its ranks before they have saved. The canary is an idle process: if it died,
# Slurm has signalled torchrun too, and launch.sh must not signal it again.
prl_all_were_told() {
  sleep 0.3
  prl_is_over "$prl_canary"
}
prl_start_canary() {
  tail --pid=$$ -f /dev/null & # it ends with this shell, however this shell ends
  prl_canary=$!
  disown "$prl_canary" # bash would log its end
}

# If SIGKILL kills launch.sh, Slurm on some sites does not end its children. Then this process ends them.
prl_start_watcher() {
  [[ -z $prl_watcher ]] || return 0
  set -m
  prl_watch_over >/dev/null 2>&1 &
  prl_watcher=$!
  disown "$prl_watcher"
  set +m
}
prl_watch_over() {
  local prl_pid
  trap '' TERM INT HUP USR1 USR2 ALRM
  until prl_is_over $$; do sleep 1; done
  for prl_pid in $(prl_job_processes); do ((prl_pid == BASHPID)) || kill -TERM "$prl_pid"; done
  if ((prl_on_platform && prl_nodes > 1)); then # the other nodes do not save
    sleep "$prl_leave_grace"
  else
    sleep "$prl_grace"
  fi
  prl_signal_job KILL
}

# Stop the training at the time limit.
prl_watch_time() { # [COMMAND]: what else to do when the time limit is reached
  [[ -z $prl_watchdog ]] || kill "$prl_watchdog" 2>/dev/null || true
  ((prl_time_limit > 0)) || return 0
  (sleep $((prl_time_limit > SECONDS ? prl_time_limit - SECONDS : 0)) && kill -USR1 $$ && "$@") 2>/dev/null &
  prl_watchdog=$!
}
prl_end_setup() { # bash hears the signal only when the command in its foreground has ended
  prl_signal_job TERM
  sleep "$prl_grace"
  prl_signal_job KILL
}
prl_time_is_up() {
  prl_own_shell
  prl_interrupts=$((prl_interrupts + 1))
  [[ -z $prl_signalled && -z $prl_trained ]] || return 0
  prl_timed_out=1
  prl_pass_on TERM 15
}

# --- the environment ------------------------------------------------------------------------------

# Set prl_modules to the file that defines the command `module`; empty if the command is defined already.
prl_find_modules() {
  prl_modules=''
  ! type -t module >/dev/null || return 0
  for prl_modules in "${LMOD_PKG:-/nowhere}/init/bash" "${MODULESHOME:-/nowhere}/init/bash" \
    /etc/profile.d/lmod.sh /etc/profile.d/modules.sh /usr/share/lmod/lmod/init/bash; do
    [[ ! -r $prl_modules ]] || return 0
  done
  prl_fail 78 "environment.modules: this node has no 'module' command"
}
prl_require_modules() {
  type -t module >/dev/null || prl_fail 78 "environment.modules: this node has no 'module' command"
}

# Set prl_conda to the folder of the conda whose environment NAME must be activated; empty if conda is not on this node
# but the environment is active already.
prl_find_conda() { # NAME [ROOT]
  local prl_root=${2:-} prl_exe=${CONDA_EXE:-} prl_places
  prl_doing="activating the conda environment"
  prl_conda_name=$1
  # shellcheck disable=SC2088 # the spec may say `~/`, which no shell has read yet
  [[ $prl_root != "~/"* ]] || prl_root=$HOME/${prl_root#"~/"}
  [[ -n $prl_exe ]] || prl_exe=$(type -P conda) || true
  prl_places=("${prl_exe%/*/*}" "$HOME/miniconda3" "$HOME/miniforge3" "$HOME/anaconda3" /opt/conda /opt/miniconda3 /opt/miniforge3)
  [[ -z $prl_root ]] || prl_places=("$prl_root")
  for prl_conda in "${prl_places[@]}"; do
    [[ -z $prl_conda || ! -r $prl_conda/etc/profile.d/conda.sh ]] || return 0
  done
  prl_conda=''
  if [[ -z $prl_root && ${CONDA_DEFAULT_ENV:-} == "$prl_conda_name" ]]; then
    prl_say "conda is not on this node; its environment '$prl_conda_name' is active already" # micromamba's, a container's
  else
    prl_fail 78 "conda is not on this node; say where it is with environment.conda: {name: $prl_conda_name, root: DIR}${prl_root:+ ($prl_root has no etc/profile.d/conda.sh)}"
  fi
}
prl_no_such_conda_environment() {
  prl_fail 78 "conda environment '$prl_conda_name' is not in $prl_conda; it has: base $(prl_conda_environments)"
}
prl_conda_environments() {
  local prl_folder
  for prl_folder in "$prl_conda"/envs/*/; do
    prl_folder=${prl_folder%/}
    [[ ! -d $prl_folder ]] || printf '%s ' "${prl_folder##*/}"
  done
}
# Stop if torchrun is not that of the conda environment after its activation.
prl_require_conda() {
  local prl_prefix
  prl_own_shell
  prl_prefix=$(prl_conda_prefix)
  # conda leaves the folder where it is in PATH, if the environment was active before.
  [[ ! -x $prl_prefix/bin/torchrun || $(type -P torchrun) -ef $prl_prefix/bin/torchrun ]] || export PATH="$prl_prefix/bin:$PATH"
  [[ ! -e $prl_prefix/bin/python ]] || prl_require_torchrun "$prl_prefix" "conda environment '$prl_conda_name'"
}
prl_conda_prefix() { # the folder of the active environment
  local prl_active=${CONDA_PREFIX:-}
  case $prl_conda_name in base) echo "$prl_conda"; return ;; */*) echo "$prl_conda_name"; return ;; esac
  if [[ -d $prl_conda/envs/$prl_conda_name ]]; then
    echo "$prl_conda/envs/$prl_conda_name"
  elif [[ ${prl_active##*/} == "$prl_conda_name" ]]; then
    echo "$prl_active" # it is in another of conda's envs_dirs
  fi
}

# Set prl_venv to the folder of a virtual environment.
prl_find_venv() { # PATH
  prl_doing="activating the virtual environment"
  prl_venv=$1
  # shellcheck disable=SC2088 # the spec may say `~/`, which no shell has read yet
  [[ $prl_venv != "~/"* ]] || prl_venv=$HOME/${prl_venv#"~/"}
  [[ -r $prl_venv/bin/activate ]] || prl_fail 78 "virtual environment $prl_venv is not here: no bin/activate (in $prl_workdir)"
}
prl_require_venv() {
  prl_own_shell
  prl_require_torchrun "$prl_venv" "the virtual environment"
}

# Stop if a module, a start-up file or ~/.local/bin has put another torchrun before the environment's in PATH.
prl_require_torchrun() { # FOLDER WORDS: the environment's, and what it is called
  local prl_launcher
  prl_launcher=$(type -P torchrun) || return 0 # the preflight reports it
  prl_find_python
  [[ ${prl_launcher%/*} -ef $1/bin || ( -n $prl_python_is_named && ${prl_python[0]%/*} -ef $1/bin ) ]] ||
    [[ $(readlink -f -- "$prl_launcher") == "$(readlink -f -- "$1")"/* || ${PRL_PREFLIGHT:-on} == off ]] ||
    prl_fail 78 "$2 is $1, but torchrun is $prl_launcher: torch is not installed there, or another environment comes before it in PATH"
  prl_required=$prl_launcher
}

# Set the array prl_python to the interpreter that torchrun will use. If torchrun's first lines do not name one: the
# first python in PATH, and prl_python_is_named is empty.
prl_find_python() {
  local prl_first='' prl_second='' prl_script="^'''exec' \"?(/.*/python[0-9.]*)\"? \"\\\$0\""
  prl_python_is_named=1
  { read -r prl_first && read -r prl_second; } 2>/dev/null <"$(type -P torchrun)" || true
  if [[ $prl_first == '#!'*python* ]]; then
    read -ra prl_python <<<"${prl_first#'#!'}"
  elif [[ $prl_second =~ $prl_script ]]; then # pip writes scripts so if the path of python is long or has a space
    prl_python=("${BASH_REMATCH[1]}")
  else
    prl_python=("$(type -P python || type -P python3 || true)") prl_python_is_named=''
  fi
}

prl_require_secrets() { # NAMES
  local prl_name
  for prl_name in "$@"; do
    [[ -v $prl_name ]] || prl_fail 78 "secret $prl_name is not set in the job's environment"
  done
}

# --- checkpoints and restarts ---------------------------------------------------------------------

# After a restart, go on from the last complete checkpoint.
prl_continue() {
  prl_find_python
  prl_checkpoint=''
  ((prl_again > 0)) || return 0
  prl_doing="looking for a checkpoint"
  prl_find_checkpoint say
  if prl_has_every_step; then # ms-swift would train one step more
    prl_nothing_follows "$prl_run_dir/logging.jsonl" ||
      prl_fail 65 "all $prl_max_steps steps are trained and saved in ${prl_checkpoint##*/}, but what comes after the last save was not done: push_to_hub, or the last evaluation"
    prl_trained=1 prl_reason="all $prl_max_steps steps were trained and saved before this restart; nothing is left to train"
    exit 0
  elif [[ -n $prl_checkpoint ]]; then
    prl_go_on_from "$prl_checkpoint"
  else
    prl_say "restart $prl_again: there is no complete checkpoint, the training begins again"
  fi
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

# Set prl_checkpoint to the path of the last complete checkpoint, or to nothing; and prl_step and prl_max_steps.
prl_find_checkpoint() { # [say]: also why newer ones are left out
  local prl_line
  prl_checkpoint='' prl_step='' prl_max_steps='' prl_old_end=''
  while read -r prl_line; do
    if [[ $prl_line == "# "* ]]; then
      [[ -z ${1:-} ]] || prl_say "not complete: ${prl_line#"# "}"
    else
      read -r prl_checkpoint prl_step prl_max_steps <<<"$prl_line"
      prl_checkpoint=$prl_run_dir/$prl_checkpoint
    fi
  done < <(prl_look_at_checkpoints)
}
prl_argument() { # NAME: the value that the job passes to ms-swift; the last one if there are several
  local prl_i prl_value=''
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
# True if ms-swift has done everything that follows the last save. Its log tells: push_to_hub comes before the summary,
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

# True if every step is trained and saved, however torchrun ended. The proof is on the disk: a complete checkpoint of
# the last step, written in this attempt by all ranks; and what follows the last save was done.
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
  prl_nothing_follows <(printf '%s' "$prl_new_log") || { prl_done=''; return 1; }
}
# True if the log has train_runtime, which ms-swift logs after the last step, its save and its evaluation. Sets
# prl_max_steps.
prl_ended_its_loop() { # LOG
  local prl_last_step
  prl_last_step=$(prl_last_step_of "$1") || return 1
  prl_max_steps=${prl_last_step#*/}
  [[ ${prl_last_step%/*} == "$prl_max_steps" ]]
}
prl_last_step_of() { # LOG: `STEP/MAX` of its line with train_runtime
  local prl_found
  prl_found=$(grep -F '"train_runtime"' <<<"$1" | grep -oE '"global_step/max_steps": *"[0-9]+/[0-9]+' | tail -n 1) || return 1
  printf '%s' "${prl_found##*\"}"
}
# Then ms-swift removes the checkpoint of the last step if another one is the best and only one is kept.
prl_keeps_the_best() {
  [[ -n $prl_checkpoint && $(prl_argument save_total_limit) == 1 && $(prl_argument load_best_model_at_end) == [Tt]rue ]]
}

# --- preflight: report at once what would stop the training minutes later ------------------------

prl_need() { # WHAT PATH KEY: a file or folder that the spec names, and by which key
  prl_needs+=("$1" "$2" "$3")
}

prl_preflight() {
  local prl_fault prl_joined
  prl_doing="looking the node over"
  if [[ ${PRL_PREFLIGHT:-on} == off ]]; then
    [[ -z ${prl_python[0]:-} ]] || prl_look_at_packages >/dev/null 2>&1 || true
    return 0
  fi
  ((prl_needs_gpus == 0)) || prl_check_gpus
  prl_check_needs
  prl_check_packages
  prl_check_disk
  prl_shorten_tmpdir || prl_faults+=("TMPDIR is $TMPDIR: too long for the sockets that Python makes below it, and /tmp takes no link to it")
  ((prl_nodes == 1)) || prl_check_network
  ((${#prl_faults[@]} > 0)) || return 0
  for prl_fault in "${prl_faults[@]}"; do prl_say "preflight: $prl_fault"; done
  printf -v prl_joined '%s; ' "${prl_faults[@]}"
  prl_fail 78 "preflight: ${prl_joined%; }"
}

prl_check_gpus() {
  local prl_gpus prl_shown=" is not set"
  prl_gpus=$(prl_visible_gpus)
  [[ -z ${CUDA_VISIBLE_DEVICES+x} ]] || prl_shown="=$CUDA_VISIBLE_DEVICES"
  ((prl_gpus >= prl_nproc_per_node)) || prl_faults+=("$prl_gpus GPUs are visible, $prl_nproc_per_node are needed, one per process (CUDA_VISIBLE_DEVICES$prl_shown)")
}
prl_visible_gpus() {
  local prl_here='' prl_listed
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

prl_check_needs() {
  local prl_i prl_what prl_path prl_key
  for ((prl_i = 0; prl_i < ${#prl_needs[@]}; prl_i += 3)); do
    prl_what=${prl_needs[prl_i]} prl_path=${prl_needs[prl_i + 1]} prl_key=${prl_needs[prl_i + 2]}
    # A restart has found a later checkpoint.
    [[ $prl_key != swift.resume_from_checkpoint || -z $prl_checkpoint ]] || continue
    [[ -e $prl_path ]] || prl_faults+=("$prl_what $prl_path is not on this node ($prl_key)")
  done
}

prl_check_packages() {
  local prl_missing
  if ! type -t torchrun >/dev/null; then
    prl_faults+=("torchrun is not on PATH: the environment has no torch, or was not activated")
  elif [[ -n ${prl_python[0]:-} ]]; then
    prl_missing=$(prl_look_at_packages torch swift 2>/dev/null) || prl_missing="working python"
    [[ -z $prl_missing ]] || prl_faults+=("${prl_python[*]} has no $prl_missing: install ms-swift there, or activate another environment")
  fi
}

prl_check_disk() {
  local prl_free
  [[ -w $prl_run_dir && -w $prl_run_dir/logs ]] || prl_faults+=("run directory $prl_run_dir is not writable")
  prl_free=$(df -Pm -- "$prl_run_dir" | awk 'NR == 2 {print $4}')
  ((prl_free >= prl_min_free_mib)) || prl_faults+=("only $prl_free MiB are free at $prl_run_dir, $prl_min_free_mib are needed")
}

# A socket's path has at most 107 bytes, and Python and vLLM add up to 40 to TMPDIR.
prl_shorten_tmpdir() {
  local LC_ALL=C
  [[ -n ${TMPDIR:-} ]] && ((${#TMPDIR} > 64)) || return 0
  prl_short_tmp=$(mktemp -d /tmp/prl.XXXXXX) && ln -s -- "$TMPDIR" "$prl_short_tmp/t" || return 1
  prl_say "TMPDIR is $prl_short_tmp/t in this job, a link to $TMPDIR, which is too long for sockets"
  export TMPDIR=$prl_short_tmp/t
}

prl_check_network() {
  local prl_name
  prl_name=$(uname -n)
  if type -P getent >/dev/null && ! timeout 20 getent ahosts "$prl_name" >/dev/null; then
    prl_faults+=("the host name $prl_name of this node does not resolve (getent ahosts $prl_name): the ranks of several nodes find each other by it")
  fi
  ((prl_on_platform == 0)) || return 0 # the address was looked at before, and the port may not be chosen yet
  [[ -n ${MASTER_ADDR:-} && -n ${MASTER_PORT:-} ]] || prl_faults+=("MASTER_ADDR and MASTER_PORT are not set: each of $prl_nodes nodes needs them, and NODE_RANK")
  if [[ $prl_node_rank == 0 ]] && (: <"/dev/tcp/127.0.0.1/${MASTER_PORT:-0}") 2>/dev/null; then
    prl_faults+=("port $MASTER_PORT is taken on this node")
  fi
}

# --- the training ---------------------------------------------------------------------------------

prl_before_training() {
  local prl_where
  prl_where=$(prl_processes)
  prl_doing="training"
  prl_log_start=$(stat -c %s -- "$prl_log_file" 2>/dev/null || echo 0)
  prl_began=$prl_run_dir/logs/.began$prl_node_rank
  : >"$prl_began"
  if ((prl_node_rank == 0)); then
    prl_end_last_line "$prl_run_dir/logging.jsonl"
    prl_end_last_line "$prl_run_dir/completions.jsonl"
    prl_set_repeated_steps_aside
  fi
  prl_steps_start=$(stat -c %s -- "$prl_run_dir/logging.jsonl" 2>/dev/null || echo 0)
  ((prl_nodes == 1)) || prl_where+=" on each of $prl_nodes nodes"
  if ((prl_on_platform)); then prl_meet; fi
  prl_say "$(date +%H:%M:%S) torchrun, $prl_where"
  if prl_has_peer_pods && ((prl_max_restarts > 0)); then prl_agree_on_checkpoint; fi
  prl_doing="training"
  prl_tell "$prl_doing"
}
prl_processes() { # in words, those of one node
  if ((prl_nproc_per_node == 1)); then echo "1 process"; else echo "$prl_nproc_per_node processes"; fi
}
# A kill may have left an unfinished line. End it, so that the next line is a line of its own.
prl_end_last_line() { # FILE
  [[ ! -s $1 || -z $(tail -c 1 -- "$1") ]] || echo >>"$1"
}

# The steps after the checkpoint are trained once more. Move their lines from logging.jsonl to logs/repeated_steps.jsonl,
# so that logging.jsonl has each step once. If that fails (disk full), logging.jsonl stays as it is.
prl_set_repeated_steps_aside() {
  local prl_log=$prl_run_dir/logging.jsonl prl_aside=$prl_run_dir/logs/repeated_steps.jsonl prl_from prl_last=0 prl_count
  prl_from=$(prl_argument resume_from_checkpoint)
  [[ -s $prl_log && ! -L $prl_aside && ! -L $prl_log.part ]] || return 0
  if [[ $prl_from =~ (^|/)checkpoint-([0-9]{1,15})/?$ && $(prl_argument resume_only_model) != [Tt]rue ]]; then
    prl_last=${BASH_REMATCH[2]}
  elif [[ -n $prl_from || $prl_again == 0 ]]; then
    return 0 # this attempt counts its steps in another way, or is the first one
  fi
  prl_count=$(prl_select_steps after "$prl_last" <"$prl_log" | wc -l) || return 0
  ((prl_count > 0)) || return 0
  if prl_select_steps after "$prl_last" <"$prl_log" >>"$prl_aside" &&
    prl_select_steps until "$prl_last" <"$prl_log" >"$prl_log.part" && mv -f -- "$prl_log.part" "$prl_log"; then
    prl_say "$prl_count lines about steps after $prl_last, which are trained again, were moved from logging.jsonl to logs/repeated_steps.jsonl"
  else
    rm -f -- "$prl_log.part"
    prl_say "logging.jsonl keeps the steps after $prl_last, which are trained again: their lines could not be moved"
  fi
}
# Print the lines of a logging.jsonl until a step, or those after it. A line that names no step goes with the line before;
# a line that a kill has cut off goes with the lines after the step.
prl_select_steps() { # until|after STEP
  LC_ALL=C awk -v which="$1" -v last="$2" '
    match($0, /"global_step\/max_steps": *"[0-9]+\//) {
      step = substr($0, RSTART, RLENGTH)
      gsub(/[^0-9]/, "", step)
    }
    (step + 0 > last + 0 || !/}[[:space:]]*$/) == (which == "after")'
}

# Start torchrun, pass signals on to it, and wait for its end. Sets prl_code and prl_torchrun_code to its exit code.
prl_run() { # PROGRAM WORDS
  local prl_program prl_before
  prl_program=$(type -P "$1") || prl_fail 78 "$1 is not on PATH: the environment has no torch, or was not activated"
  shift
  # torchrun kills its ranks 30 s after SIGTERM unless told otherwise.
  export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=$prl_grace
  # With `PET_TEE=3` in the job's environment torchrun writes a log for each rank; put them into the run directory.
  [[ -z ${PET_TEE:-}${PET_REDIRECTS:-} ]] || export PET_LOG_DIR=$prl_run_dir/logs/ranks/node$prl_node_rank
  set -m # process groups of their own: the terminal's Ctrl-C reaches torchrun through launch.sh alone
  prl_start_canary
  ((prl_leaves_children == 0)) || prl_start_watcher
  set -m
  "$prl_program" "$@" &
  prl_child=$!
  set +m
  prl_watch_time
  if prl_has_peer_pods; then prl_leave_with_the_others 2>/dev/null & fi
  while :; do # a trap ends `wait` early with its own code; only an undisturbed wait has torchrun's
    prl_before=$prl_interrupts
    prl_code=0
    wait "$prl_child" || prl_code=$?
    [[ $prl_interrupts != "$prl_before" ]] || break
  done
  prl_torchrun_code=$prl_code
}

# --- several pods: Kubernetes does not end, or restart, the nodes of a training together ------------------

prl_has_peer_pods() { ((prl_in_pods && prl_nodes > 1)); }

prl_failed_node() { # [CODE]: the name of the first other node that ended in this attempt, with such an exit code
  local prl_i
  for ((prl_i = 0; prl_i < prl_nodes; prl_i++)); do
    if ((prl_i != prl_node_rank)) && prl_ended_now "$prl_i" && [[ $prl_end_code =~ ^${1:-[1-9]} ]]; then
      printf '%s' "$prl_end_host"
      return
    fi
  done
  return 1
}
prl_is_behind() { # another node has been started again since
  local prl_i
  for ((prl_i = 0; prl_i < prl_nodes; prl_i++)); do
    (($(prl_starts_of "$prl_i") <= prl_again + 1)) || return 0
  done
  return 1
}
# If another node has failed, end this one too, because NCCL would wait for ten minutes.
prl_leave_with_the_others() {
  while sleep 5; do
    if prl_is_behind || { prl_failed_node >/dev/null && sleep 30; }; then
      kill -TERM "$prl_child"
      sleep $((prl_grace < 30 ? prl_grace : 30)) # without the other node no further step is possible
      prl_signal_job KILL
    fi
  done
}

# After a restart all nodes must go on from the same checkpoint. Node 0 writes which one, and then starts torchrun. What
# it writes has the number of the attempt, because the torchrun of an earlier attempt may still listen.
prl_agree_on_checkpoint() {
  local prl_i='' prl_port='' prl_chosen=''
  prl_choice=$prl_run_dir/logs/.from.$prl_token
  if ((prl_node_rank == 0)); then
    echo "$prl_again $MASTER_PORT ${prl_checkpoint##*/}" >"$prl_choice.part" && mv -f -- "$prl_choice.part" "$prl_choice"
    return 0
  fi
  prl_doing="waiting for node 0"
  if ((prl_on_platform)); then prl_say "$prl_doing" && prl_tell "$prl_doing"; fi
  until read -r prl_i prl_port prl_chosen 2>/dev/null <"$prl_choice" && ((prl_i == prl_again)) && prl_node_0_listens "$prl_port"; do
    prl_end_without_node_0
    sleep 1 || true
  done
  MASTER_PORT=$prl_port
  [[ ${prl_checkpoint##*/} == "$prl_chosen" ]] || prl_go_on_from "${prl_chosen:+$prl_run_dir/$prl_chosen}"
}
prl_node_0_listens() { # PORT
  # shellcheck disable=SC2016 # the other bash expands it
  timeout 10 "$BASH" -c ': <"/dev/tcp/$0/$1"' "$MASTER_ADDR" "$1" 2>/dev/null
}
prl_end_without_node_0() { # if node 0 does not come
  if ((prl_on_platform)); then
    prl_wait_for_node_0_to_come
    return
  elif prl_node_0_has_ended; then
    ((prl_ended == 0)) || prl_fail 1 "node 0 has failed"
    prl_trained=1 prl_reason="node 0 came to the end of the training before this node was started again"
    exit 0
  fi
  ! prl_is_behind || prl_fail 200 "another node was started again"
  ((SECONDS < 1800)) || prl_fail 200 "node 0 did not come within half an hour"
}
# Node 0 of this job has ended, with an exit code for which the operator starts no pod again; into prl_ended its code.
prl_node_0_has_ended() {
  local prl_its_again
  prl_read_end 0 || return 1
  prl_its_again=$((prl_end_restarts - prl_resumed))
  ((prl_its_again >= 0 && prl_end_code < 128)) || return 1
  prl_ended=$prl_end_code
  ! ((prl_end_code == 124 && prl_its_again - (prl_again - prl_counted) < prl_max_restarts)) # a time-out is started again
}

# --- after the training: what ms-swift does not say -----------------------------------------------

# Decide the job's exit code. It may differ from torchrun's.
prl_after_training() {
  [[ -z $prl_tee ]] || prl_wait_for_log
  if ((prl_on_platform)) && [[ -z $prl_signalled && $prl_code == 137 ]]; then prl_take_idle_end; fi
  if [[ -z $prl_signalled && $prl_code != 0 ]]; then prl_explain_failure; fi
  if [[ -z $prl_signalled && $prl_code == 0 && $prl_node_rank == 0 ]]; then prl_doubt_success; fi
  if [[ -z $prl_signalled && $prl_code != 0 ]] && ((prl_nodes > 1)); then
    if ((prl_on_platform)); then prl_wait_for_blame; elif prl_has_peer_pods && ((prl_max_restarts > 0)); then prl_blame_peer; fi
  fi
  prl_trained=1
  exit "$prl_code"
}

# The log is read below, so wait until tee has written it.
prl_wait_for_log() {
  local prl_i
  prl_say "torchrun ended with $prl_code"
  for ((prl_i = 0; prl_i < 100; prl_i++)); do
    ! tail -n 5 -- "$prl_log_file" | grep -aF "prl-submit: torchrun ended with $prl_code" >/dev/null || break
    sleep 0.05
  done
}

prl_nothing="ms-swift ended without one training step; is the data set smaller than one generation batch?"

prl_explain_failure() {
  local prl_error prl_crash prl_ended_well=''
  prl_error=$(prl_last_error)
  prl_reason="torchrun exited with $prl_code"
  if [[ -n $prl_error ]]; then prl_reason+=": $prl_error"; else prl_reason+=$(prl_words_of_code "$prl_code"); fi
  if prl_came_to_its_end && { ((prl_node_rank > 0)) || prl_trained_nothing; } || prl_is_done; then prl_ended_well=1; fi
  if [[ -n $prl_ended_well ]] && prl_only_crashed; then
    prl_crash=$(prl_last_signal)
    prl_code=0 prl_reason="the training came to its end; a process crashed on its way out: ${prl_crash:-$prl_reason}"
  elif [[ -n $prl_done ]]; then
    prl_reason="$prl_done; then: $prl_reason"
  elif ((prl_node_rank == 0)) && prl_came_to_its_end && prl_trained_nothing; then # what happened after that is not the cause
    prl_reason="$prl_nothing (then: $prl_reason)"
  fi
}

# Exit 0 is not yet success: a data set smaller than one generation batch trains nothing, ranks that never found each
# other train one by one into the same directory, and ranks that were told to stop save and leave.
prl_doubt_success() {
  local prl_processes=$((prl_nodes * prl_nproc_per_node))
  if prl_trained_nothing; then prl_fail 65 "$prl_nothing"; fi
  if ((prl_processes > 1)) && prl_trained_alone; then
    prl_fail 65 "each process trained alone: $prl_processes trainings of world size 1 instead of one of $prl_processes"
  fi
  prl_ended_early || return 0
  prl_stops_early || prl_fail 65 "ended at step $prl_step of $prl_max_steps, and nothing in the spec stops it early: its ranks were told to stop"
  prl_reason="stopped early, at step $prl_step of $prl_max_steps"
}

# The operator restarts a pod that exits with 128 or more. A pod that has lost its peer must restart together with it.
prl_blame_peer() {
  local prl_peer
  if ! prl_peer=$(prl_failed_node '(124|1[3-9][0-9]|2[0-9][0-9])'); then
    prl_peer="another node"
    prl_is_behind || prl_lost_its_peers || return 0
  fi
  prl_code=200 prl_reason="$prl_peer was lost"
}
prl_lost_its_peers() {
  [[ -z $(prl_last_error) ]] &&
    prl_this_attempt | grep -aE 'Connection (closed|reset) by peer|DistNetworkError|DistBackendError|DistStoreError' >/dev/null
}

prl_this_attempt() { tail -c "+$((prl_log_start + 1))" -- "$prl_log_file"; }
prl_appended() { tail -c "+$((prl_steps_start + 1))" -- "$prl_run_dir/logging.jsonl" 2>/dev/null || true; }
prl_new_checkpoints() { find "$prl_run_dir" -maxdepth 1 -name 'checkpoint-*' -newer "$prl_began" 2>/dev/null; }

# No `grep -q` here: it would end `tail` with SIGPIPE, which pipefail takes for a failure.
prl_trained_nothing() {
  ! prl_appended | grep -E '"global_step/max_steps": *"[1-9]' >/dev/null && [[ -z $(prl_new_checkpoints) ]]
}
# A step that was logged twice, or a checkpoint with the one random state of a world of one.
prl_trained_alone() {
  local prl_doubled prl_alone
  prl_doubled=$(prl_appended | grep -F '"learning_rate"' | grep -oE '"global_step/max_steps": *"[0-9]+' | sort | uniq -d) || true
  prl_alone=$(find "$prl_run_dir" -mindepth 2 -maxdepth 2 -path '*/checkpoint-*/rng_state.pth' -newer "$prl_began" 2>/dev/null) || true
  [[ -n $prl_doubled || -n $prl_alone ]]
}

# When all is done, a rank may still crash: threads of torch ask for an interpreter that has gone
# (pytorch#190489), and torchrun exits with 1, often before its first rank has written its last line.
prl_came_to_its_end() { # this node's first rank
  prl_this_attempt | grep -aF 'End time of running main' >/dev/null
}
# True if no process failed by itself: torchrun reports a signal as an exit code below 0. If several processes ended,
# the others may have failed because of the first one, which torchrun names.
prl_only_crashed() {
  local prl_codes prl_first
  ((prl_code <= 128)) || [[ -z $prl_done ]] || return 0 # torchrun itself
  prl_codes=$(prl_this_attempt | grep -aoE '(Root Cause|exitcode +: -?[0-9]+)') || return 1
  prl_first=$(sed -n '/Root Cause/,$p' <<<"$prl_codes" | grep -oE -e '-?[0-9]+$' | sed -n 1p) || true
  [[ ${prl_first:-$(grep -oE -e '-?[0-9]+$' <<<"$prl_codes" | sort -n | tail -n 1)} == -* ]]
}
# ms-swift also exits with 0 if its ranks were told to stop, saved a checkpoint and left the loop. The line with
# train_runtime, which it logs after the loop, tells the last step. Sets prl_step and prl_max_steps.
prl_ended_early() {
  local prl_last
  prl_last=$(prl_last_step_of "$(prl_appended)") || return 1
  ((${prl_last%/*} < ${prl_last#*/})) || return 1
  prl_step=${prl_last%/*} prl_max_steps=${prl_last#*/}
}
# True if the spec asks for early stopping: by a callback of ms-swift or of a plugin.
prl_stops_early() {
  local prl_word
  [[ -z $(prl_argument callbacks)$(prl_argument early_stop_interval) ]] || return 0
  for prl_word in "${prl_swift_args[@]}"; do
    [[ $prl_word != *.py || ! -r $prl_word ]] || ! grep -qE 'should_training_stop|EarlyStopping|extra_callbacks' "$prl_word" || return 0
  done
  return 1
}

# --- the error in the log -------------------------------------------------------------------------

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
# Cut a text in the middle, because its beginning says what it is about and its end often has the cause.
prl_cut() { # TEXT LENGTH
  local prl_half=$(($2 / 2 - 2))
  if ((${#1} > $2)); then printf '%s ... %s' "${1:0:prl_half}" "${1: -prl_half}"; else printf '%s' "$1"; fi
}
prl_last_signal() { prl_this_attempt | grep -aoE 'Signal [0-9]+ \(SIG[A-Z]+\) received by PID [0-9]+' | tail -n 1 || true; }

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

# prl_submit/runs/checkpoint_files.py, which also `prl-submit resume` runs: prints `NAME STEP MAX_STEPS` of the last
# complete checkpoint, and `# WHY` for each newer one that is not complete.
prl_look_at_checkpoints() {
  "${prl_python[@]}" -I -S - "$prl_run_dir" $((prl_nodes * prl_nproc_per_node)) <<'PRL_PYTHON'
"""Find the newest complete checkpoint: every file that a resumed training reads exists and is whole.

launch.sh runs this very file on a node, with the Python of the training's environment. So a restart by the
scheduler continues from the same checkpoint as `resume`. Because of that this file imports only the standard
library and uses nothing newer than Python 3.8.
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
#: The limit of the safetensors library for the size of a header.
_MAX_HEADER = 100_000_000
_ZIP, _ZIP_ENTRY, _ZIP_END = b"PK\3\4", b"PK\1\2", b"PK\5\6"
_ZIP_END_SIZE = 22
_IN_ZIP64 = 0xFFFFFFFF
#: A part of the weights, such as `model-00001-of-00002.safetensors`. model.safetensors.index.json lists all parts.
_SHARD = re.compile(r"-[0-9]{5}-of-([0-9]{5})(\.safetensors|\.bin)$")
#: A short file of printable text, as a test writes it in place of weights. It is no file that was cut short,
#: because the beginning of a safetensors, zip or pickle file never looks like that.
_STAND_IN = re.compile(rb"(?!P)[\x20-\x7e\n]{1,63}")


class FaultError(Exception):
    """Why a checkpoint is not complete, in words."""


def last_complete(
    run_dir: str, ranks: int, told: list[str]
) -> tuple[str, int, dict[str, Any]] | None:
    """The newest complete checkpoint: its name, its step and its trainer_state.json. None if there is none.

    For each newer checkpoint, a line that says why it is not complete is added to `told`.
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
    """The trainer_state.json of a checkpoint. Raises FaultError if the checkpoint is not complete, and OSError."""
    names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    if MARK in names:
        raise FaultError(f"its saving did not come to an end, says {MARK}")
    state = _json(folder, "trainer_state.json")
    if not isinstance(state, dict):
        raise FaultError("trainer_state.json is damaged")
    _check_step(os.path.basename(folder), state)
    scaler = [name for name in names if name == "scaler.pt"]
    for name in [*_random_states(ranks), *_optimizer(folder, names), *scaler]:
        _check(folder, name)
    weights = _weights(folder, names)
    if not weights:
        raise FaultError("has no weights")
    for name in weights:
        _check(folder, name)
    for name in names:
        _check_parts(folder, name, names)
    return state


def _random_states(ranks: int) -> list[str]:
    """The files with the state of each rank's random numbers."""
    return ["rng_state.pth"] if ranks == 1 else [f"rng_state_{rank}.pth" for rank in range(ranks)]


def _check_parts(folder: str, name: str, names: list[str]) -> None:
    """Raises FaultError for an index whose parts are not complete, and for a part without its index."""
    if name.endswith(".index.json"):
        _check_shards(folder, name)
        return
    match = _SHARD.search(name)
    if match and f"{name[: match.start()]}{match[2]}.index.json" not in names:
        raise FaultError(f"{name} is one of several, and their index is not there")


def _check_step(name: str, state: dict[str, Any]) -> None:
    """Raises FaultError if the number in the folder's name is not the step in trainer_state.json."""
    step = state.get("global_step")
    if step is None:
        return  # there is nothing to compare
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
    """The files and folders with the weights."""
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
    """The files that the ranks wrote into a folder of the checkpoint: *.pt of DeepSpeed, *.distcp of FSDP2."""
    return [
        os.path.join(inner, name)
        for name in sorted(os.listdir(os.path.join(folder, inner)))
        if name.endswith((".pt", ".distcp"))
    ]


def _check_shards(folder: str, index: str) -> None:
    """Raises FaultError if one of the files that the index lists is not whole."""
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
    """The size of a file in bytes; 0 if it does not exist or is not a regular file."""
    try:
        status = os.stat(os.path.join(folder, name))
    except OSError:
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def _check(folder: str, name: str) -> None:
    """Raises FaultError if a file is missing, empty, cut short, or is not of its kind."""
    if os.path.isdir(os.path.join(folder, name)):
        if name.startswith("global_step"):
            return  # each file in it is checked for itself
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
    if name.endswith(".metadata"):  # a pickle, which ends with the opcode STOP
        file.seek(size - 1)
        return head.startswith(b"\x80") and bool(file.read(1) == b".")
    return True


def _safetensors_size(read: Any, size: int) -> int:
    """The file size that follows from the header; 0 if it is not a header.

    The file has 8 bytes with the length of the header, the header, and the tensors.
    """
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
    """True if a file of torch.save is whole. It is a zip file, whose directory is at its end.

    Old versions of torch, and an option of new ones, write a pickle followed by raw data. Nothing in such a
    file tells its size, so it counts as whole.
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
    """Print for launch.sh: `# WHY` for each checkpoint that is not complete, and `NAME STEP MAX_STEPS` of the last complete one."""
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

# prl_submit/runs/node_versions.py: prints those of the modules that are missing, and writes the versions of the
# packages to made_of/versions.json, that of another node to made_of/versions.nodeN.json.
prl_look_at_packages() { # MODULES
  "${prl_python[@]}" - "$prl_run_dir" "$prl_node_rank" "$prl_restarts" "$@" <<'PRL_PYTHON'
"""Tell which packages a node lacks, and write the versions of those that it has into the run directory.

launch.sh runs this very file on a node, with the Python of the training's environment. Because of that this file
imports only the standard library and uses nothing newer than Python 3.8. No package is imported, since torch alone
would take seconds.
"""

from __future__ import annotations

import contextlib
import glob
import importlib.util
import json
import os
import platform
import re
import socket
import sys
import time
from typing import Any

#: Distributions whose versions decide what a training does.
_PACKAGES = [
    "ms-swift",
    "torch",
    "transformers",
    "trl",
    "vllm",
    "accelerate",
    "peft",
    "deepspeed",
    "datasets",
    "tokenizers",
    "modelscope",
    "numpy",
    "triton",
    "flash-attn",
    "sglang",
    "liger-kernel",
    "bitsandbytes",
    "xformers",
    "qwen-vl-utils",
    "torch-npu",
    "nvidia-nccl-cu12",
    "nvidia-nccl-cu13",
]
_FOLDER = "made_of"
#: So many earlier versions of an environment are kept.
_MOST_EARLIER = 20
_MAX_BYTES = 1 << 20


def missing(modules: list[str]) -> list[str]:
    """Those of the modules that cannot be imported."""
    return [name for name in modules if importlib.util.find_spec(name) is None]


def versions() -> dict[str, Any]:
    """What this node has. A value is None if the node cannot tell it cheaply."""
    torch, swift = _folder_of("torch"), _folder_of("swift")
    packages = _installed()
    found = _in_file(swift, r"^__version__ *= *['\"]([^'\"]+)")
    if found is not None:  # a checkout in PYTHONPATH comes before an installed release
        packages["ms-swift"] = found
    return {
        "host": socket.gethostname(),
        "python": platform.python_version(),
        "packages": packages,
        "swift_path": swift,
        "swift_commit": _commit_of(swift),
        "cuda": _in_file(torch, r"^(?:cuda|hip)\b[^=\n]*= *['\"]([^'\"]+)"),
        "driver": _driver(),
        "gpus": _gpus(),
        "visible": os.environ.get("CUDA_VISIBLE_DEVICES"),
    }


def _installed() -> dict[str, str]:
    """The versions of the distributions that are installed."""
    from importlib import metadata

    found = {}
    for name in _PACKAGES:
        with contextlib.suppress(Exception):  # it is not installed, or its metadata is damaged
            found[name] = str(metadata.version(name))
    return found


def _folder_of(package: str) -> str | None:
    """The folder of a package, without importing it."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    return os.path.dirname(spec.origin) if spec is not None and spec.origin else None


def _in_file(folder: str | None, pattern: str) -> str | None:
    """What the pattern's group finds in a package's version.py."""
    found = re.search(
        pattern, _text(os.path.join(folder or "/nowhere", "version.py")), re.MULTILINE
    )
    return found.group(1) if found else None


def _commit_of(folder: str | None) -> str | None:
    """The commit of a git checkout from which a package is used, read without git."""
    git = os.path.join(os.path.dirname(folder or "/nowhere/x"), ".git")
    head = _text(os.path.join(git, "HEAD")).strip()
    if head.startswith("ref: "):
        name = head[5:]
        packed = re.search(
            rf"^(\S+) {re.escape(name)}$", _text(os.path.join(git, "packed-refs")), re.MULTILINE
        )
        head = _text(os.path.join(git, name)).strip() or (packed.group(1) if packed else "")
    return head if re.fullmatch(r"[0-9a-f]{40,64}", head) else None


def _driver() -> str | None:
    """The version of NVIDIA's driver."""
    found = re.search(r"[0-9]+(?:\.[0-9]+)+", _text("/sys/module/nvidia/version"))
    return found.group(0) if found else None


def _gpus() -> list[str]:
    """The names of NVIDIA's GPUs, from files: nvidia-smi may take seconds."""
    texts = map(_text, sorted(glob.glob("/proc/driver/nvidia/gpus/*/information")))
    found = (re.search(r"^Model: *(.+)", text, re.MULTILINE) for text in texts)
    return [match.group(1).strip() for match in found if match]


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(_MAX_BYTES)
    except OSError:
        return ""


def write(run_dir: str, node: int, restarts: int) -> None:
    """Write the versions into the run directory. Raises OSError, also where a part of the path is a link.

    If an earlier attempt had other versions, those are kept in the same file.
    """
    name = f"versions.node{node}.json" if node else "versions.json"
    found = versions()
    found["restarts"] = restarts
    found["at"] = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    place = os.path.join(run_dir, _FOLDER)
    with contextlib.suppress(FileExistsError):  # another node may make it at the same time
        os.mkdir(place)
    folder = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        found["earlier"] = _earlier(_read(folder, name), found)
        part = f".{name}.{os.urandom(8).hex()}.part"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with open(os.open(part, flags, 0o644, dir_fd=folder), "w", encoding="utf-8") as file:
            json.dump(found, file, indent=2)
            file.write("\n")
        os.replace(part, name, src_dir_fd=folder, dst_dir_fd=folder)
    finally:
        os.close(folder)


def _read(folder: int, name: str) -> dict[str, Any]:
    """What the file has now; empty if it is missing or damaged."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        with open(descriptor, encoding="utf-8", errors="replace") as file:
            found = json.loads(file.read(_MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _earlier(old: dict[str, Any], new: dict[str, Any]) -> list[Any]:
    """The versions of earlier attempts that differ from the next ones, oldest first."""
    listed = old.pop("earlier", None)
    earlier = listed if isinstance(listed, list) else []
    keys = ("python", "packages", "swift_path", "swift_commit", "cuda", "driver", "gpus")
    if old and any(old.get(key) != new.get(key) for key in keys):
        earlier = [*earlier, old]
    return earlier[-_MOST_EARLIER:]


def main(words: list[str]) -> None:
    """Print the missing modules, then write the versions. A fault while writing is nobody's."""
    run_dir, node, restarts, *modules = words
    sys.stdout.write(" ".join(missing(modules)) + "\n")
    sys.stdout.flush()
    # The training starts whether or not its versions can be kept.
    with contextlib.suppress(Exception):
        write(run_dir, int(node), int(restarts))


if __name__ == "__main__":
    main(sys.argv[1:])
PRL_PYTHON
}

# shellcheck shell=bash
# shellcheck disable=SC2034 # launch.lib.sh and launch.sh use the variables that these functions set.
# shellcheck disable=SC2154 # launch.sh assigns the values of a job before it reads launch.lib.sh.
#
# --- a platform's variables: which node this is -------------------------------------------------------
#
# This file stands in launch.lib.sh of a run directory. A platform starts one command on every node, and tells each node
# its place among the nodes by environment variables. These functions read the variables, compare them with the spec, and
# compute what only a node can. What the nodes of a job then do together is in platform_nodes.lib.sh.

# The rows of the table of variables: a name, and the cells nodes, node_rank, master_addr, master_port, nproc_per_node,
# job and not-with. Each cell is `-` or NAMES joined by `|`; NAME[0] is the first word of a list.
prl_platform_table='
Volcengine MLP_WORKER_NUM MLP_ROLE_INDEX MLP_WORKER_0_HOST|MLP_WORKER_0_PRIMARY_HOST MLP_WORKER_0_PORT MLP_WORKER_GPU MLP_TASK_ID -
ModelArts MA_NUM_HOSTS VC_TASK_INDEX VC_WORKER_HOSTS[0] - MA_NUM_GPUS MA_VJ_NAME -
Arnold ARNOLD_WORKER_NUM ARNOLD_ID ARNOLD_WORKER_0_HOST|METIS_WORKER_0_HOST ARNOLD_WORKER_0_PORT[0]|METIS_WORKER_0_PORT[0] ARNOLD_WORKER_GPU ARNOLD_TRIAL_ID -
SenseCore SENSECORE_PYTORCH_NNODES SENSECORE_PYTORCH_NODE_RANK MASTER_ADDR MASTER_PORT SENSECORE_ACCELERATE_DEVICE_COUNT SENSECORE_JOB_NAME -
SkyPilot SKYPILOT_NUM_NODES SKYPILOT_NODE_RANK SKYPILOT_NODE_IPS[0] - SKYPILOT_NUM_GPUS_PER_NODE SKYPILOT_TASK_ID -
dstack DSTACK_NODES_NUM DSTACK_NODE_RANK DSTACK_MASTER_NODE_IP - DSTACK_GPUS_PER_NODE DSTACK_RUN_ID -
Kubeflow PET_NNODES PET_NODE_RANK|RANK PET_MASTER_ADDR|MASTER_ADDR PET_MASTER_PORT|MASTER_PORT PET_NPROC_PER_NODE - -
ModelArts/Volcano VC_WORKER_NUM VC_TASK_INDEX VC_WORKER_HOSTS[0] - MA_NUM_GPUS MA_VJ_NAME VC_MASTER_HOSTS
Taiji HOST_NUM INDEX CHIEF_IP - HOST_GPU_NUM - -
NNODES NNODES NODE_RANK MASTER_ADDR MASTER_PORT NPROC_PER_NODE - -
PAI-DLC/AIHC/TI-ONE WORLD_SIZE RANK MASTER_ADDR MASTER_PORT NPROC_PER_NODE|GPU_NUM_PER_NODE DLC_JOB_ID|AIHC_JOB_ID|AIHC_JOB_NAME -
'
# These mean processes inside torchrun. launch.sh does not look at them there.
prl_torchrun_sets=" NNODES NODE_RANK NPROC_PER_NODE RANK WORLD_SIZE "

# Find out which node of the job this is. Before: prl_nodes and prl_nproc_per_node are the spec's numbers, or 0 where the
# spec states none; prl_platform_names has six words, the variables that the spec names in place of the table's;
# prl_visible is local.cuda_visible_devices.
#
# Sets prl_platform (empty if no variable is there), prl_nodes, prl_node_rank, prl_nproc_per_node, prl_master_addr,
# prl_master_port and prl_platform_job (each empty if not known), and prl_refusal: why this node must not train, or
# nothing. The caller ends the job with prl_refusal when it can write exit.json; until then all numbers can be used.
prl_identify() {
  local LC_ALL=C
  prl_refusal=''
  prl_see_platform
  if ((${#prl_seen_faults[@]} > 0)); then
    printf -v prl_refusal '%s; ' "${prl_seen_faults[@]}"
    prl_refusal="the variables of the platform are wrong: ${prl_refusal%; }. Set them as the platform does, or name other variables with platform: {nodes: VARIABLE, …} in the spec"
  fi
  prl_take_nodes
  prl_take_processes
  prl_master_addr=${prl_seen[2]} prl_master_port=${prl_seen[3]} prl_platform_job=${prl_seen[5]}
  [[ -z $prl_refusal ]] || printf 'prl-submit: %s\n' "$prl_refusal" >&2
}
prl_refuse_place() { [[ -n $prl_refusal ]] || prl_refusal=$1; } # WORDS: the first refusal is told

prl_take_nodes() {
  local prl_stated=$prl_nodes prl_variable=${prl_platform_names[0]-}
  prl_node_rank=${prl_seen[1]:-0}
  if [[ -n ${prl_seen[0]} ]]; then
    ((prl_stated == 0 || prl_stated == prl_seen[0])) ||
      prl_refuse_place "resources.nodes in the spec is $prl_stated, but the platform has started ${prl_seen[0]} (${prl_seen_in[0]}=${prl_seen[0]}): change the spec or the platform's form"
    prl_nodes=${prl_seen[0]}
  elif [[ -n $prl_variable ]]; then
    prl_refuse_place "platform.nodes in the spec names $prl_variable, which is not set on this node"
  elif ((prl_stated > 1)); then
    prl_refuse_place "resources.nodes in the spec is $prl_stated, but no variable of a platform is set on this node: set NNODES, NODE_RANK, MASTER_ADDR and MASTER_PORT, or name the platform's variables with platform: {nodes: VARIABLE, …} in the spec"
  fi
  ((prl_nodes > 0)) || prl_nodes=1
  ((prl_node_rank < prl_nodes)) || prl_nodes=$((prl_node_rank + 1)) # only after a refusal
}

prl_take_processes() {
  local prl_stated=$prl_nproc_per_node prl_given=${prl_seen[4]} prl_from=${prl_seen_in[4]} prl_listed
  # A number of GPUs says nothing about the processes of a job that trains on the CPU.
  [[ ${prl_needs_gpus:-0} == 1 || $prl_from == *NPROC* || -n ${prl_platform_names[4]-} ]] || prl_given=''
  if ((prl_stated == 0)); then
    prl_listed=${prl_visible:-}
    prl_listed=${prl_listed//[!,]/}
    if [[ -n ${prl_visible:-} ]]; then
      prl_nproc_per_node=$((${#prl_listed} + 1))
    elif [[ -n $prl_given ]]; then
      prl_nproc_per_node=$prl_given
    else
      prl_count_processes
    fi
  elif [[ -z $prl_given ]]; then
    return 0
  elif [[ -n ${prl_visible:-} ]]; then
    ((prl_given >= prl_stated)) || prl_refuse_place "resources.nproc_per_node in the spec is $prl_stated, but the platform gives this node $prl_given ($prl_from=$prl_given)"
  else
    ((prl_given == prl_stated)) || prl_refuse_place "resources.nproc_per_node in the spec is $prl_stated, but the platform gives this node $prl_given ($prl_from=$prl_given): change the spec or the platform's form, or choose GPUs with local.cuda_visible_devices"
  fi
}
# Neither the spec nor a variable says how many processes: one for each GPU of this node.
prl_count_processes() {
  prl_nproc_per_node=1
  [[ ${prl_needs_gpus:-0} == 1 ]] || return 0
  prl_nproc_per_node=$(prl_visible_gpus)
  ((prl_nproc_per_node > 0)) && return 0
  prl_nproc_per_node=1
  prl_refuse_place "resources.nproc_per_node is not stated, no variable of the platform states it, and no GPU is visible on this node"
}

# GRPO's arithmetic, where only this node knows how many processes there are. prl-submit checks it before, where the spec
# says so: see prl_submit/rules/batch.py, whose messages these are.
prl_check_batch() { # NAME=NUMBER: the factors of the batches
  local prl_word prl_faults_of_batch='' prl_batch='' prl_world=$((prl_nodes * prl_nproc_per_node))
  local prl_of_world="nproc_per_node $prl_nproc_per_node x nodes $prl_nodes"
  local prl_group='' prl_device='' prl_total='' prl_steps='' prl_rows='' prl_eval_device='' prl_eval_group=''
  for prl_word in "$@"; do
    case $prl_word in
      num_generations=*) prl_group=${prl_word#*=} ;;
      per_device_train_batch_size=*) prl_device=${prl_word#*=} ;;
      generation_batch_size=*) prl_total=${prl_word#*=} ;;
      steps_per_generation=*) prl_steps=${prl_word#*=} ;;
      gradient_accumulation_steps=*) prl_rows=${prl_word#*=} ;;
      num_generations_eval=*) prl_eval_group=${prl_word#*=} ;;
      per_device_eval_batch_size=*) prl_eval_device=${prl_word#*=} ;;
    esac
  done
  [[ -z $prl_device ]] || prl_check_generation_batch
  [[ -z $prl_eval_device ]] || prl_check_evaluation_batch
  [[ -z $prl_faults_of_batch ]] || prl_fail 78 "${prl_faults_of_batch%; }; change the spec, or the number of nodes or GPUs in the platform's form"
}
prl_check_generation_batch() {
  local prl_from=''
  prl_batch=$((prl_device * prl_world))
  local prl_formula="per_device_train_batch_size x $prl_of_world = $prl_batch"
  [[ $prl_rows != about-16-rows ]] || prl_rows=$(((15 + prl_batch) / prl_batch))
  if [[ -z $prl_total ]]; then
    [[ -n $prl_steps ]] || prl_from=" (from gradient_accumulation_steps)"
    prl_steps=${prl_steps:-$prl_rows}
    prl_total=$((prl_batch * prl_steps))
  elif [[ -n $prl_steps ]] && ((prl_total != prl_batch * prl_steps)); then
    prl_faults_of_batch+="swift.generation_batch_size: $prl_total is not $prl_formula x steps_per_generation $prl_steps = $((prl_batch * prl_steps)); "
    return 0
  elif ((prl_total % prl_batch)); then
    prl_faults_of_batch+="swift.generation_batch_size: $prl_total is not a multiple of $prl_formula; "
    return 0
  else
    [[ -n $prl_steps ]] || prl_from=" (from generation_batch_size)"
    prl_steps=$((prl_total / prl_batch))
  fi
  ((prl_total % prl_group == 0)) ||
    prl_faults_of_batch+="swift.num_generations: $prl_group does not divide the generation batch $prl_total = per_device_train_batch_size $prl_device x $prl_of_world x steps_per_generation $prl_steps$prl_from; "
}
prl_check_evaluation_batch() {
  local prl_total=$((prl_eval_device * prl_world)) prl_name=num_generations
  [[ -z $prl_eval_group ]] || prl_name+=_eval
  ((prl_total % ${prl_eval_group:-$prl_group} == 0)) ||
    prl_faults_of_batch+="swift.$prl_name: ${prl_eval_group:-$prl_group} does not divide the evaluation batch $prl_total = per_device_eval_batch_size $prl_eval_device x $prl_of_world; "
}

# --- the variables of this node ---------------------------------------------------------------------
#
# prl_submit/backends/platform/variables.py does the same in Python. A test compares the two.

# Sets prl_platform, prl_seen (the values nodes, node_rank, master_addr, master_port, nproc_per_node, job; each empty if
# not known), prl_seen_in (the variables from which they are) and prl_seen_faults (what is wrong, in words).
prl_see_platform() {
  local LC_ALL=C prl_rest prl_line prl_apart='' prl_alone='' prl_orphan='' prl_row_is=''
  local prl_row=() prl_values=() prl_found_in=()
  prl_platform='' prl_seen=('' '' '' '' '' '') prl_seen_in=('' '' '' '' '' '') prl_seen_faults=()
  prl_rest=$prl_platform_table
  [[ -z ${prl_platform_names[0]-} ]] || prl_rest=$(prl_row_of_names)
  while [[ -n $prl_rest ]]; do
    prl_line=${prl_rest%%$'\n'*}
    prl_rest=${prl_rest#"$prl_line"}
    prl_rest=${prl_rest#$'\n'}
    prl_read_row "$prl_line" || continue
    case $prl_row_is in
      complete | wrong) prl_judge_row; return ;;
      apart) prl_apart=${prl_apart:-$prl_line} ;;
      alone) prl_alone=${prl_alone:-$prl_line} ;;
      orphan) prl_orphan=$prl_line ;; # a later row has the more general names
    esac
  done
  # No row is complete.
  prl_line=${prl_apart:-${prl_alone:-$prl_orphan}}
  [[ -z $prl_line ]] || { prl_read_row "$prl_line" && prl_judge_row; }
}

# Split a line of the table into prl_row, read its variables into prl_values and prl_found_in, and set prl_row_is:
#   absent    the number of nodes is not stated          wrong     a number is wrong
#   orphan    a rank and an address without a number     complete  all that is needed
#   alone     one node, without a rank                   apart     several nodes, without a rank or an address
prl_read_row() { # LINE; false if it is no row
  local prl_i prl_cell='[[:space:]]+([^[:space:]]+)' prl_value prl_found
  [[ $1 =~ ^([^[:space:]#]+)$prl_cell$prl_cell$prl_cell$prl_cell$prl_cell$prl_cell$prl_cell ]] || return 1
  prl_row=("${BASH_REMATCH[@]:1:8}") prl_values=() prl_found_in=()
  for ((prl_i = 0; prl_i < 6; prl_i++)); do
    [[ -z ${prl_platform_names[prl_i]-} ]] || prl_row[prl_i + 1]=${prl_platform_names[prl_i]}
    # A list of hosts or ports is no host and no port, so the spec may name one.
    [[ -z ${prl_platform_names[prl_i]-} || $prl_i != [23] || ${prl_row[prl_i + 1]} == *'[0]' ]] || prl_row[prl_i + 1]+='[0]'
    prl_read_cell "${prl_row[prl_i + 1]}"
    prl_values[prl_i]=$prl_value prl_found_in[prl_i]=$prl_found
  done
  prl_read_cell "${prl_row[7]}"
  if [[ -n $prl_value ]]; then prl_row_is=absent; else prl_classify_row; fi
}
prl_classify_row() {
  local prl_count=${prl_values[0]} prl_rank=${prl_values[1]} prl_address=${prl_values[2]}
  if [[ -z $prl_count ]]; then
    prl_row_is=absent
    [[ -z $prl_rank || -z $prl_address ]] || prl_is_this_node "$prl_address" || prl_row_is=orphan
  elif ! prl_is_number "$prl_count" || ((10#$prl_count == 0)); then
    prl_row_is=wrong
  elif [[ -z $prl_rank ]]; then
    if ((10#$prl_count == 1)); then prl_row_is=alone; else prl_row_is=apart; fi
  elif ! prl_is_number "$prl_rank" || ((10#$prl_rank >= 10#$prl_count)); then
    prl_row_is=wrong
  elif [[ -z $prl_address ]] && ((10#$prl_count > 1)); then
    prl_row_is=apart
  else
    prl_row_is=complete
  fi
}

# The first variable of a cell that is set: its value into prl_value, its name into prl_found; else both are empty.
prl_read_cell() { # CELL
  local prl_words=$1'|' prl_word
  prl_value='' prl_found=''
  [[ $1 != - ]] || return 0
  while [[ -z $prl_value && -n $prl_words ]]; do
    prl_word=${prl_words%%'|'*}
    prl_words=${prl_words#*'|'}
    prl_found=${prl_word%'[0]'}
    # Bash would run the text in the brackets of another name.
    [[ $prl_found =~ ^[a-zA-Z_][a-zA-Z0-9_]*$ ]] || continue
    [[ -z ${LOCAL_RANK:-}${TORCHELASTIC_RUN_ID:-} || $prl_torchrun_sets != *" $prl_found "* ]] || continue
    prl_value=${!prl_found-}
    if [[ $prl_word == *'[0]' ]]; then
      prl_value=${prl_value#"${prl_value%%[!,;[:space:]]*}"}
      prl_value=${prl_value%%[,;[:space:]]*}
    fi
  done
  [[ -n $prl_value ]] || prl_found=''
}

# If the spec names the variable of the nodes, the table is one row: each cell has the name of the spec, or else all
# names of the table, in the table's order.
prl_row_of_names() {
  local prl_rest=$prl_platform_table prl_line prl_i prl_cells=() prl_row=() prl_values=() prl_found_in=() prl_row_is
  while [[ -n $prl_rest ]]; do
    prl_line=${prl_rest%%$'\n'*}
    prl_rest=${prl_rest#"$prl_line"}
    prl_rest=${prl_rest#$'\n'}
    prl_read_row "$prl_line" || continue
    for ((prl_i = 0; prl_i < 6; prl_i++)); do
      if [[ -n ${prl_platform_names[prl_i]-} ]]; then
        prl_cells[prl_i]=${prl_platform_names[prl_i]}
      elif [[ ${prl_row[prl_i + 1]} != - ]]; then
        prl_cells[prl_i]=${prl_cells[prl_i]:+${prl_cells[prl_i]}|}${prl_row[prl_i + 1]}
      fi
    done
  done
  echo "spec ${prl_cells[*]} -"
}

# Take the row that was read: its values into prl_seen, and what is wrong into prl_seen_faults.
prl_judge_row() {
  local prl_several=0
  prl_platform=${prl_row[0]}
  prl_seen_in=("${prl_found_in[@]}")
  if [[ -z ${prl_values[0]} ]]; then
    prl_add_fault "$(prl_set_to 1) and $(prl_set_to 2), but the number of nodes is not known: $(prl_not_set 0)"
    return 0
  elif ! prl_is_number "${prl_values[0]}" || ((10#${prl_values[0]} == 0)); then
    if [[ ${prl_values[0]} =~ ^[0-9]+:[0-9]+$ ]]; then
      prl_add_fault "$(prl_set_to 0) is a range, and the number of nodes must be fixed"
    else
      prl_add_fault "$(prl_set_to 0) is not a number of nodes"
    fi
    return 0
  fi
  prl_seen[0]=$((10#${prl_values[0]}))
  ((prl_seen[0] == 1)) || prl_several=1
  prl_judge_rank
  prl_judge_address
  prl_judge_port
  prl_judge_processes
  [[ -z ${prl_values[5]} ]] || prl_seen[5]=$(prl_shown "${prl_values[5]}")
}
prl_judge_rank() {
  if [[ -z ${prl_values[1]} ]]; then
    ((prl_several)) || prl_seen[1]=0
    ((prl_several == 0)) || prl_add_fault "there are ${prl_seen[0]} nodes ($(prl_set_to 0)), but which of them this one is, is not known: $(prl_not_set 1)"
  elif prl_is_number "${prl_values[1]}" && ((10#${prl_values[1]} < prl_seen[0])); then
    prl_seen[1]=$((10#${prl_values[1]}))
  else
    prl_add_fault "$(prl_set_to 1) is not a node of ${prl_seen[0]} ($(prl_set_to 0)): the nodes are counted from 0"
  fi
}
prl_judge_address() { # one node needs none
  if [[ -z ${prl_values[2]} ]]; then
    ((prl_several == 0)) || prl_add_fault "there are ${prl_seen[0]} nodes ($(prl_set_to 0)), but the address of node 0 is not known: $(prl_not_set 2)"
  elif ! prl_is_address "${prl_values[2]}"; then
    ((prl_several == 0)) || prl_add_fault "$(prl_set_to 2) is not a host name or an address"
  elif prl_is_this_node "${prl_values[2]}"; then
    ((prl_several == 0)) || prl_add_fault "$(prl_set_to 2) is each node itself, so the ${prl_seen[0]} nodes ($(prl_set_to 0)) cannot find node 0"
  else
    prl_seen[2]=${prl_values[2]}
  fi
}
prl_judge_port() {
  local prl_port=${prl_values[3]}
  if [[ -z $prl_port || $prl_port =~ ^0+$ ]]; then
    return 0
  elif prl_is_number "$prl_port" && ((10#$prl_port < 65536)); then
    prl_seen[3]=$((10#$prl_port))
  elif ((prl_several)); then
    prl_add_fault "$(prl_set_to 3) is not a port"
  fi
}
prl_judge_processes() {
  local prl_count=${prl_values[4]}
  [[ ! $prl_count =~ ^(0*|[aA][uU][tT][oO]|[gGcCxX][pP][uU])$ ]] || return 0 # not stated
  if prl_is_number "$prl_count"; then
    prl_seen[4]=$((10#$prl_count))
  else
    prl_add_fault "$(prl_set_to 4) is not a number of processes"
  fi
}

prl_add_fault() { prl_seen_faults+=("$1"); }
prl_is_number() { [[ $1 =~ ^[0-9]{1,6}$ ]]; }
prl_is_address() { # a name, an IPv4 address or an IPv6 address
  ((${#1} < 256)) && { [[ $1 =~ ^[a-zA-Z0-9_][a-zA-Z0-9._-]*$ ]] || [[ $1 =~ ^\[?[0-9a-fA-F]*:[0-9a-fA-F:.]*:[0-9a-fA-F.]*(%[a-zA-Z0-9._-]+)?\]?$ ]]; }
}
prl_is_this_node() { # ADDRESS
  [[ $1 =~ ^(localhost(\..*)?|ip6-localhost|127\.[0-9.]*|\[?::1?\]?|0\.0\.0\.0)$ ]]
}
prl_set_to() { printf '%s=%s' "${prl_found_in[$1]}" "$(prl_shown "${prl_values[$1]}")"; } # INDEX
prl_not_set() { # INDEX of the cell whose variables are not set
  local prl_columns=(nodes node_rank master_addr master_port nproc_per_node job) prl_cell=${prl_row[$1 + 1]//'[0]'/}
  if [[ $prl_cell == *'|'*'|'*'|'* ]]; then
    printf 'no known variable is set; platform.%s can name another' "${prl_columns[$1]}"
  else
    printf '%s is not set' "${prl_cell//'|'/ or }"
  fi
}
# A value for a message, of at most 60 bytes, without control characters and without bytes that are not UTF-8.
prl_shown() { # VALUE
  local LC_ALL=C prl_text=${1//[[:cntrl:]]/?}
  if ((${#prl_text} > 60)); then
    prl_text=${prl_text//[!\ -~]/?}
    prl_text=${prl_text:0:60}…
  elif [[ $prl_text == *[!\ -~]* ]] && ! printf '%s' "$prl_text" | iconv -f UTF-8 -t UTF-8 >/dev/null 2>&1; then
    prl_text=${prl_text//[!\ -~]/?}
  fi
  printf '%s' "$prl_text"
}

# shellcheck shell=bash
# shellcheck disable=SC2034 # launch.lib.sh and launch.sh use the variables that these functions set.
# shellcheck disable=SC2154 # launch.sh assigns the values of a job before it reads launch.lib.sh.
#
# --- a platform's nodes: what they do together ----------------------------------------------------------
#
# This file stands in launch.lib.sh of a run directory. A platform starts launch.sh on each node, at different times, and
# perhaps again. The nodes know of each other only by files in the run directory:
#
#   logs/.aliveN          the sign of life of node N, which a loop beside launch.sh replaces every prl_beat_s seconds
#   logs/.startsN.TOKEN   a line for each start of node N
#   logs/.from.TOKEN      written by node 0: the attempt, the port of node 0, and the checkpoint to go on from
#   logs/.trainings.TOKEN a line of node 0 for each attempt whose training has begun
#   logs/.stop.TOKEN      a node was told to stop, so all nodes stop and save together
#   exit.json, logs/nodeN.exit.json, cancel.json
#
# No two clocks are compared. launch.sh assigns, besides the values of every job:
#
#   prl_on_platform=1
#   prl_platform_names    six variables that the spec names in place of the table's; prl_visible: its choice of GPUs
#   prl_wait              seconds that nodes wait for each other, and for the name of node 0
#   prl_silence           seconds without a sign of life until `status` says LOST

# A node that is silent for so many seconds of this node is lost.
prl_lost_s=18
# Seconds for torchrun to end by itself after another node has failed, and then from SIGTERM to SIGKILL.
prl_leave_s=8 prl_leave_grace=4

# The state. Inherited environment variables of these names are overwritten.
prl_platform='' prl_platform_job='' prl_refusal='' prl_rendezvous=() prl_since=''
prl_stdout='' prl_pump='' prl_beating='' prl_note=''
prl_heard='' prl_blamed='' prl_blame='' prl_told_to_stop='' prl_starts_anew=''

prl_uptime() { # into prl_seconds: seconds of a clock that nobody sets
  local prl_rest
  IFS='. ' read -r prl_seconds prl_rest </proc/uptime
}

# --- the beginning: one launch.sh for each node -------------------------------------------------------

# Take the node, before the start is counted. A launch.sh that may not train ends here, and changes no file.
prl_take_node() {
  local prl_waited=0
  prl_first_dir=$PWD
  prl_beat_s=$((prl_silence / 6 > 3 ? 3 : prl_silence / 6))
  ((prl_beat_s > 0)) || prl_beat_s=1
  if [[ ! -e $prl_run_dir/launch.sh ]]; then # a new folder there would be inside this container, and lost with it
    echo "prl-submit: run directory $prl_run_dir is not on $prl_host: is the disk that the nodes share mounted at the same path?" >&2
    exit 78
  fi
  if ! mkdir -p -- "$prl_run_dir/logs"; then
    echo "prl-submit: run directory $prl_run_dir is not writable for uid $(id -u) of this node" >&2
    exit 78
  fi
  prl_refuse_links
  prl_refuse_ended_run
  exec {prl_lock}>"$prl_run_dir/.node$prl_node_rank.lock" || prl_lock=''
  prl_wait_for_lock
  # On a file system without locks only the sign of life tells of a launch.sh on another machine.
  ((prl_waited > 2 * prl_beat_s)) || ! prl_lives_elsewhere || prl_refuse_second
  prl_refuse_ended_run # it may have ended since
}
prl_refuse_ended_run() {
  local prl_cancelled
  if prl_read_end 0 && [[ $prl_end_state == SUCCEEDED ]] && ((prl_end_restarts >= prl_resumed)); then
    echo "prl-submit: the run in $prl_run_dir has ended well (SUCCEEDED): it is not trained again"
    exit 0
  elif [[ -e $prl_run_dir/cancel.json ]]; then
    prl_cancelled=$(prl_cancel_reason)
    echo "prl-submit: the run in $prl_run_dir was ${prl_cancelled:-cancelled}: it is not trained; \`prl-submit resume\` would continue it" >&2
    exit 143
  fi
}
# The processes of a launch.sh that was killed hold the lock until they have ended too. Meanwhile the sign of life is
# looked at each second; prl_waited counts the seconds.
prl_wait_for_lock() {
  local prl_locked
  [[ -n $prl_lock ]] && type -P flock >/dev/null || return 0
  for ((prl_waited = 0; ; prl_waited++)); do
    prl_locked=0
    flock -n -E 75 "$prl_lock" || prl_locked=$?
    ((prl_locked == 75)) || return 0 # else the file system has no locks
    if ((prl_waited >= prl_grace + 60)) || prl_lives_elsewhere 1; then prl_refuse_second; fi
  done
}
prl_refuse_second() {
  local prl_sign='' prl_pattern='"host": "([^"]*)"'
  { read -r prl_sign <"$prl_run_dir/logs/.alive$prl_node_rank"; } 2>/dev/null || true
  [[ ! $prl_sign =~ $prl_pattern ]] || prl_sign=" on ${BASH_REMATCH[1]}"
  echo "prl-submit: $prl_run_dir is in use: node $prl_node_rank of its job still runs$prl_sign; 'prl-submit status' says more" >&2
  exit 75
}
# True if the sign of life of this node moves, within two beats or the SECONDS.
prl_lives_elsewhere() { # [SECONDS]
  local prl_first='' prl_sign='' prl_i
  { read -r prl_first <"$prl_run_dir/logs/.alive$prl_node_rank"; } 2>/dev/null || true
  [[ -n $prl_first || -n ${1:-} ]] && [[ -n ${1:-} || $prl_first != *'"ended": true}' ]] || return 1
  for ((prl_i = 0; prl_i < ${1:-2 * prl_beat_s + 1}; prl_i++)); do
    sleep 1
    { read -r prl_sign <"$prl_run_dir/logs/.alive$prl_node_rank"; } 2>/dev/null || true
    [[ $prl_sign == "$prl_first" || $prl_sign == *'"ended": true}' ]] || return 0
  done
  return 1
}

# If the platform's form asked for more nodes at first, their attempts were earlier ones.
prl_pass_nodes_that_are_gone() {
  local prl_i prl_file prl_started
  for prl_file in "$prl_run_dir"/logs/.starts*".$prl_token"; do
    prl_i=${prl_file##*/.starts} prl_i=${prl_i%".$prl_token"}
    [[ $prl_i =~ ^[1-9][0-9]{0,5}$ ]] || continue
    ((prl_i >= prl_nodes)) || continue
    prl_started=$(prl_starts_of "$prl_i")
    ((prl_started <= PRL_SUBMIT_RESTARTS)) || PRL_SUBMIT_RESTARTS=$prl_started
  done
}

# restarts.max limits the trainings that are begun again. An attempt that ended before its training does not count: the
# platform's form was wrong, a node did not come, a setup line failed. Before each training node 0 adds a line to a file.
prl_trainings_file() { printf '%s' "$prl_run_dir/logs/.trainings.$prl_token"; }
prl_count_trainings() { # into prl_counted
  prl_counted=$({ sort -u -- "$(prl_trainings_file)" 2>/dev/null || true; } | wc -l)
}
prl_note_training() {
  echo "$prl_again" >>"$(prl_trainings_file)" || prl_fail 1 "$(prl_trainings_file) cannot be written: is the disk full?"
}
prl_has_restarts_left() { prl_count_trainings && ((prl_counted <= prl_max_restarts)); }
prl_what_to_do() { # when restarts.max is used up
  ((prl_on_platform == 0)) || printf '%s' ": \`prl-submit resume ${prl_run_dir##*/}\` continues from its last checkpoint; if it has none, make a new run"
}
# Why the last attempt of this node has failed, before its exit file is removed.
prl_find_last_reason() {
  ! prl_read_end "$prl_node_rank" || prl_last_reason=${prl_end_reason%"; restarts.max is $prl_max_restarts, and used up"*}
}

# When the log is open and the mark of this node's processes is set.
prl_begin_on_platform() {
  prl_start_beat
  prl_start_watcher # also while the environment is set up
  [[ -z $prl_refusal ]] || prl_fail 78 "$prl_refusal"
  prl_say "this is node $prl_node_rank of $prl_nodes with $(prl_processes)${prl_platform:+, by the variables of $prl_platform}${prl_platform_job:+, job $prl_platform_job}"
  ((prl_nodes == 1)) || export MASTER_ADDR=$prl_master_addr MASTER_PORT=$prl_master_port
}

# --- how a node ended ---------------------------------------------------------------------------------

# Read how a node ended the last time: into prl_end_code, prl_end_state, prl_end_restarts, prl_end_host, prl_end_reason.
prl_read_end() { # NODE
  local prl_file=$prl_run_dir/logs/node$1.exit.json prl_text=''
  local prl_pattern='"exit_code": ([0-9]{1,3}), "state": "([A-Z]+)", .*"restarts": ([0-9]{1,9}), "node": "(.*)", "reason": (null|"(.*)")\}'
  (($1 > 0)) || prl_file=$prl_run_dir/exit.json
  { read -r prl_text <"$prl_file"; } 2>/dev/null || true
  [[ $prl_text =~ $prl_pattern ]] || return 1
  prl_end_code=${BASH_REMATCH[1]} prl_end_state=${BASH_REMATCH[2]} prl_end_restarts=${BASH_REMATCH[3]}
  prl_end_host=${BASH_REMATCH[4]} prl_end_reason=${BASH_REMATCH[6]}
  prl_end_reason=${prl_end_reason//\\\\/$'\1'} # JSON's two escapes that prl_json_string writes
  prl_end_reason=${prl_end_reason//\\\"/\"}
  prl_end_reason=${prl_end_reason//$'\1'/\\}
}
prl_ended_now() { # NODE: whether it has ended in this attempt
  prl_read_end "$1" && ((prl_end_restarts >= prl_restarts))
}

# If another node has failed in this attempt: its exit code into prl_blamed, what happened into prl_blame.
prl_find_failed_node() {
  local prl_i
  for ((prl_i = 0; prl_i < prl_nodes; prl_i++)); do
    if ((prl_i != prl_node_rank)) && prl_ended_now "$prl_i" && ((prl_end_code != 0)); then
      prl_blamed=$prl_end_code prl_blame="node $prl_i ($prl_end_host) failed: $prl_end_reason"
      # That node may only have left because of a third one.
      [[ ! $prl_end_reason =~ ^node\ [0-9]+\ \(.*\)\ (failed|was\ lost): ]] || prl_blame=$prl_end_reason
      return 0
    fi
  done
  return 1
}

# --- the loop beside launch.sh: the sign of life, and what this node must hear of ----------------------

prl_start_beat() {
  # A launch.sh of this node that was lost may live on for a while elsewhere, so each attempt has its own names.
  prl_note=$prl_run_dir/logs/.note$prl_node_rank.$prl_restarts
  rm -f -- "$prl_note" "$prl_run_dir/logs/.doing$prl_node_rank.$prl_restarts"
  prl_tell "$prl_doing"
  set -m # a process group of its own, which can be ended as a whole
  prl_beat >/dev/null 2>&1 &
  prl_beating=$!
  set +m
  disown "$prl_beating"
}
prl_tell() { # WORDS: what this node does, for its sign of life
  [[ -n $prl_note ]] || return 0
  printf '%s\n' "${1//[[:cntrl:]]/ }" 2>/dev/null >"$prl_run_dir/logs/.doing$prl_node_rank.$prl_restarts" || true
}

prl_beat() {
  local prl_tick prl_beats=0 prl_now='' prl_shown='' prl_ordered='' prl_failed_at='' prl_idle_since='' prl_looked
  local prl_quiet=() prl_seen_signs=() prl_head prl_tail
  set +e
  trap '' TERM INT HUP USR1 USR2 ALRM
  export -n PRL_SUBMIT_TOKEN # what this loop starts is no process of the job
  [[ -z $prl_lock ]] || exec {prl_lock}>&-
  [[ -z $prl_stdout ]] || exec {prl_stdout}>&-
  exec {prl_out}>&-
  prl_write_sign_parts
  prl_uptime
  prl_looked=$prl_seconds
  for ((prl_tick = 0; ; prl_tick++)); do
    prl_is_over $$ && break
    { read -r prl_now <"$prl_run_dir/logs/.doing$prl_node_rank.$prl_restarts"; } 2>/dev/null
    [[ -n $prl_now ]] || prl_now=$prl_shown
    ((prl_tick % prl_beat_s)) && [[ $prl_now == "$prl_shown" ]] || prl_give_sign
    prl_look_for_orders
    ((prl_tick % prl_beat_s)) || prl_end_superseded
    ((prl_tick % prl_beat_s)) || prl_look_at_peers
    sleep 1
  done
  # launch.sh was killed. The watcher ends the training; nobody else would end a pump whose reader does not read.
  sleep 3
  [[ -z $prl_pump ]] || kill -KILL -- "-$prl_pump"
}

prl_write_sign_parts() { # what does not change in the sign of life
  local prl_name=null prl_job=null
  [[ -z $prl_platform ]] || prl_name=$(prl_json_string "$prl_platform")
  [[ -z $prl_platform_job ]] || prl_job=$(prl_json_string "$prl_platform_job")
  prl_head="{\"token\": $(prl_json_string "$prl_token"), \"attempt\": $prl_restarts, \"beat\": "
  prl_tail=", \"platform\": $prl_name, \"job\": $prl_job, \"nodes\": $prl_nodes, \"nproc_per_node\": $prl_nproc_per_node"
  prl_tail="\"node\": $prl_node_rank, \"host\": $(prl_json_string "$prl_host"), \"doing\": DOING$prl_tail"
}
prl_give_sign() { # [ENDED]: of prl_now
  local prl_file=$prl_run_dir/logs/.alive$prl_node_rank prl_doing_now prl_text
  ! prl_is_superseded || return 0
  prl_doing_now=$(prl_json_string "$prl_now")
  prl_beats=$((prl_beats + 1)) prl_shown=$prl_now
  prl_text="$prl_head$prl_beats, ${prl_tail%%DOING*}$prl_doing_now${prl_tail#*DOING}, \"ended\": ${1:-false}}"
  if ! { printf '%s\n' "$prl_text" >"$prl_file.part" && mv -f -- "$prl_file.part" "$prl_file"; }; then
    prl_quiet=() # if the disk is full, all nodes are silent
    printf '%s\n' "$prl_text" 1<>"$prl_file" # the room of the old one is left
    (LC_ALL=C; truncate -s $((${#prl_text} + 1)) -- "$prl_file")
  fi
} 2>/dev/null

# A user has cancelled the run, or another node was told to stop.
prl_look_for_orders() {
  local prl_attempt='' prl_who='' prl_words=''
  [[ -z $prl_ordered ]] || return 0
  : "$prl_run_dir"/* "$prl_run_dir"/logs/.* # opens the folders, so NFS does not answer from its memory
  if [[ -e $prl_run_dir/cancel.json ]]; then
    prl_order cancel
  elif read -r prl_attempt prl_who prl_words 2>/dev/null <"$prl_run_dir/logs/.stop.$prl_token" &&
    [[ $prl_attempt == "$prl_restarts" && $prl_who != "$prl_node_rank" ]]; then
    prl_order stop 143 "$prl_words"
  fi
}

# Two starts of one node must not train in one run directory.
prl_end_superseded() {
  [[ -z $prl_ordered ]] && prl_is_superseded || return 0
  prl_order superseded 200 "this node was started again elsewhere, or the run was resumed"
}

# Another node has failed, is silent, or was started again.
prl_look_at_peers() {
  local prl_i
  ((prl_nodes > 1)) && [[ -z $prl_ordered ]] || return 0
  prl_uptime
  # If this node itself was slow, or the disk, then it cannot know that others were silent.
  ((prl_seconds - prl_looked <= 2 * prl_beat_s + 1)) || prl_quiet=()
  prl_looked=$prl_seconds
  if prl_is_behind; then
    prl_order behind
  elif prl_find_failed_node; then
    [[ -n $prl_failed_at ]] || prl_failed_at=$prl_seconds
    # torchrun may end by itself, and then the log of this node tells more.
    if [[ $prl_now != training* ]] || ((prl_seconds - prl_failed_at >= prl_leave_s)); then
      prl_order failed "$prl_blamed" "$prl_blame"
    fi
  else
    for ((prl_i = 0; prl_i < prl_nodes; prl_i++)); do
      ((prl_i == prl_node_rank)) || prl_look_at_sign "$prl_i"
    done
    ((prl_node_rank > 0)) || prl_end_idle_torchrun
  fi
}

# A rank that crashes on its way out ends the torchrun of its node, and the torchrun of node 0 would wait five minutes
# for that one. So node 0's is killed when it has had no process for some seconds.
prl_end_idle_torchrun() {
  local prl_i prl_pid prl_ended_well=''
  for ((prl_i = 1; prl_i < prl_nodes; prl_i++)); do
    if prl_ended_now "$prl_i" && ((prl_end_code == 0)); then
      prl_ended_well="$prl_end_reason (node $prl_i, $prl_end_host)"
      break
    fi
  done
  [[ -n $prl_ended_well && $prl_now == training* ]] || return 0
  for prl_pid in $(prl_job_processes); do
    # Each rank, and what it has started, has LOCAL_RANK.
    if tr '\0' '\n' <"/proc/$prl_pid/environ" | grep -q '^LOCAL_RANK='; then prl_idle_since='' && return; fi
  done
  [[ -n $prl_idle_since ]] || prl_idle_since=$prl_seconds
  ((prl_seconds - prl_idle_since >= prl_leave_s)) || return 0
  printf 'idle 0 %s\n' "$prl_ended_well" >"$prl_note"
  prl_signal_job KILL
}
prl_look_at_sign() { # NODE
  local prl_sign=''
  { read -r prl_sign <"$prl_run_dir/logs/.alive$1"; } 2>/dev/null
  if ! prl_is_of_this_attempt "$prl_sign" || [[ $prl_sign != "${prl_seen_signs[$1]:-}" || $prl_sign == *'"ended": true}' ]]; then
    prl_quiet[$1]=0
  elif prl_quiet[$1]=$((${prl_quiet[$1]:-0} + 1)) && ((prl_quiet[$1] * prl_beat_s >= prl_lost_s)) && ! prl_ended_now "$1"; then
    [[ -n $prl_ordered ]] || prl_order lost 200 "node $1 ($(prl_host_of "$prl_sign")) was lost: no sign of life"
  fi
  prl_seen_signs[$1]=$prl_sign
}
prl_is_of_this_attempt() { [[ $1 == "{\"token\": \"$prl_token\", \"attempt\": $prl_restarts, "* ]]; } # SIGN
prl_host_of() { # SIGN
  local prl_pattern='"host": "([^"]*)"'
  [[ ! $1 =~ $prl_pattern ]] || printf '%s' "${BASH_REMATCH[1]}"
}

# Make launch.sh hear of it: the note says why, and then SIGTERM. Bash hears SIGTERM when the command in its foreground
# has ended, so a setup line that runs is ended too.
prl_order() { # cancel | stop | failed | lost | superseded | behind [CODE WORDS]
  prl_ordered=$1
  printf '%s\n' "$*" >"$prl_note"
  kill -TERM $$
  case $prl_now in training* | saving* | ending*) return ;; esac
  prl_signal_job TERM
  (sleep "$prl_grace"; prl_signal_job KILL) &
}

# --- launch.sh learns why it must end -------------------------------------------------------------------

# When launch.sh has got a signal: read the note in which the loop says why. If there is no note, then somebody else sent
# the signal to this node, and the other nodes are told of it.
# shellcheck disable=SC2120 # launch.lib.sh gives the words
prl_hear() { # [WORDS]: the signal, or the time limit
  local prl_kind='' prl_code_said='' prl_words=''
  [[ -n $prl_note && -z $prl_blamed ]] || return 0
  { read -r prl_kind prl_code_said prl_words <"$prl_note"; } 2>/dev/null || true
  prl_heard=$prl_kind
  case $prl_kind in
    failed | lost | superseded) prl_blamed=$prl_code_said prl_blame=$prl_words ;;
    behind) prl_blamed=200 prl_blame="another node was started again" prl_starts_anew=1 ;;
    stop) prl_told_to_stop=$prl_words ;;
    cancel) ;;
    *) [[ -z ${1:-} ]] || prl_tell_others "$1" ;;
  esac
  if [[ -n $prl_starts_anew ]] && ! prl_has_restarts_left; then
    prl_starts_anew='' prl_blamed=1 prl_blame+="; restarts.max is $prl_max_restarts, and used up$(prl_what_to_do)"
  fi
}
prl_tell_others() { # WORDS
  ((prl_nodes > 1)) || return 0
  printf '%s %s node %s (%s) %s\n' "$prl_restarts" "$prl_node_rank" "$prl_node_rank" "$prl_host" "$1" \
    2>/dev/null >"$prl_run_dir/logs/.stop.$prl_token" || true
}

# If the loop has killed torchrun because all ranks had ended, then this node has not failed.
prl_take_idle_end() {
  local prl_kind='' prl_code_said='' prl_words=''
  { read -r prl_kind prl_code_said prl_words <"$prl_note"; } 2>/dev/null || true
  [[ $prl_kind == idle ]] && { prl_came_to_its_end || prl_is_done; } || return 0
  prl_code=$prl_code_said prl_reason=$prl_words
}

# torchrun has failed on this node, and its log shows no cause: then another node has failed or was lost. Wait for its
# exit.json, or until its silence is long enough.
prl_wait_for_blame() {
  local prl_i
  [[ -z $(prl_last_error) ]] || return 0
  prl_tell "ending: torchrun has failed, looking for the cause on other nodes"
  for ((prl_i = 0; prl_i < prl_lost_s + 6; prl_i++)); do
    prl_hear ''
    if [[ -n $prl_blamed$prl_signalled ]] || prl_find_failed_node; then break; fi
    sleep 1
  done
  [[ -z $prl_blamed ]] || prl_code=$prl_blamed prl_reason=$prl_blame
}

# --- the meeting: all nodes begin the training together -------------------------------------------------

prl_meet() {
  if ((prl_nodes == 1)); then
    prl_note_training
    # Without --local-addr torchrun would look up its own host name, and wait for minutes if it does not resolve.
    prl_rendezvous=(--nnodes=1 --standalone --local-addr=localhost --nproc_per_node="$prl_nproc_per_node")
    return 0
  fi
  prl_wait_for_address
  if ((prl_node_rank == 0)); then
    prl_wait_for_nodes
    prl_choose_port
    prl_note_training
  fi
  prl_agree_on_checkpoint
  prl_rendezvous=(--nnodes="$prl_nodes" --nproc_per_node="$prl_nproc_per_node" --node_rank="$prl_node_rank"
    --master_addr="$MASTER_ADDR" --master_port="$MASTER_PORT")
}

# The name of node 0 may resolve only when the platform has started that node.
prl_wait_for_address() {
  local prl_since
  type -P getent >/dev/null || return 0
  prl_uptime
  prl_since=$prl_seconds
  until timeout 20 getent ahosts "$MASTER_ADDR" >/dev/null; do
    if [[ $prl_doing != "waiting until"* ]]; then
      prl_doing="waiting until the name of node 0, $MASTER_ADDR, resolves"
      prl_say "$prl_doing" && prl_tell "$prl_doing"
    fi
    prl_uptime
    ((prl_seconds - prl_since < prl_wait)) ||
      prl_fail 78 "the name of node 0, $MASTER_ADDR, did not resolve on $prl_host within $(prl_span "$prl_wait") (platform.wait)"
    sleep 1 || true
  done
}

# Node 0 waits until all other nodes wait for it.
prl_wait_for_nodes() {
  local prl_absent='' prl_missing='' prl_told='' prl_since prl_many=''
  prl_uptime
  prl_since=$prl_seconds
  while prl_find_missing_nodes; do
    [[ $prl_missing != *,* ]] || prl_many=s
    prl_doing="waiting for node$prl_many $prl_missing"
    [[ $prl_doing == "$prl_told" ]] || { prl_say "$prl_doing"; prl_tell "$prl_doing"; }
    prl_told=$prl_doing prl_many=''
    prl_uptime
    [[ -n $prl_absent ]] || prl_since=$prl_seconds # all have come, and prepare their environments
    ((prl_seconds - prl_since < prl_wait)) || prl_fail_for_absent_nodes
    sleep 1 || true
  done
}
prl_fail_for_absent_nodes() {
  local prl_many=''
  [[ $prl_absent != *,* ]] || prl_many=s
  prl_fail 1 "node$prl_many $prl_absent of $prl_nodes did not start within $(prl_span "$prl_wait") (platform.wait): nothing in $prl_run_dir/logs is from there; does the platform start the command on every node, and is this folder on a disk that all nodes share?"
}
# Set prl_missing to the nodes that do not wait for node 0 yet, and prl_absent to those that have not even started.
prl_find_missing_nodes() {
  local prl_i prl_sign
  prl_missing='' prl_absent=''
  : "$prl_run_dir"/logs/.* # opens the folder, so NFS does not answer from its memory
  for ((prl_i = 1; prl_i < prl_nodes; prl_i++)); do
    prl_sign=''
    { read -r prl_sign <"$prl_run_dir/logs/.alive$prl_i"; } 2>/dev/null || true
    if ! prl_is_of_this_attempt "$prl_sign"; then
      prl_absent+=${prl_absent:+, }$prl_i
    elif [[ $prl_sign == *'"doing": "waiting for node 0", '* ]]; then
      continue
    fi
    prl_missing+=${prl_missing:+, }$prl_i
  done
  [[ -n $prl_missing ]]
}

# The port that the platform gives; else one that follows from the run, or the next one that is free.
prl_choose_port() {
  local prl_first prl_rest prl_i
  if [[ -n $MASTER_PORT ]]; then
    prl_is_free_port "$MASTER_PORT" || prl_fail 78 "port $MASTER_PORT is taken on this node, and ${prl_platform:-the platform} says that the nodes meet there"
    return 0
  fi
  read -r prl_first prl_rest < <(cksum <<<"$prl_token")
  for ((prl_i = 0; prl_i < 200; prl_i++)); do
    MASTER_PORT=$((20000 + (prl_first + prl_i) % 10000)) # below the ports that Linux gives to clients
    ! prl_is_free_port "$MASTER_PORT" || return 0
    prl_say "port $MASTER_PORT is taken on this node; trying the next one"
  done
  prl_fail 78 "no port for the nodes to meet is free on this node"
}
prl_is_free_port() { # PORT
  "${prl_python[@]}" -I -S -c 'import socket, sys
socket.create_server(("", int(sys.argv[1])))' "$1" 2>/dev/null
}

# While this node waits for node 0: end if node 0 does not come.
prl_wait_for_node_0_to_come() {
  local prl_sign=''
  if prl_ended_now 0 && ((prl_end_code == 0)); then
    prl_trained=1 prl_reason="node 0 came to the end of the training before this node was started"
    exit 0
  fi
  { read -r prl_sign <"$prl_run_dir/logs/.alive0"; } 2>/dev/null || true
  prl_uptime
  # As long as node 0 lives and does not train, it may still prepare its environment.
  if [[ -z $prl_since ]] || { prl_is_of_this_attempt "$prl_sign" && [[ $prl_sign != *'"doing": "training", '* ]]; }; then
    prl_since=$prl_seconds
  fi
  ((prl_seconds - prl_since >= prl_wait)) || return 0
  if prl_is_of_this_attempt "$prl_sign"; then
    prl_fail 1 "node 0 ($(prl_host_of "$prl_sign")) trains, but $MASTER_ADDR:$MASTER_PORT could not be reached from $prl_host within $(prl_span "$prl_wait") (platform.wait)"
  fi
  prl_fail 1 "node 0 of $prl_nodes did not start within $(prl_span "$prl_wait") (platform.wait): nothing in $prl_run_dir/logs is from there; does the platform start the command on every node, and is this folder on a disk that all nodes share?"
}

prl_span() { # SECONDS: in words
  if (($1 % 3600 == 0)); then
    printf '%dh' $(($1 / 3600))
  elif (($1 % 60 == 0)); then
    printf '%dm' $(($1 / 60))
  else
    printf '%ds' "$1"
  fi
}

# --- the end ------------------------------------------------------------------------------------------

# True if this node was started again since, or the run was resumed: then the files of the run are the later start's.
# A launch.sh may live so long if its machine or its disk stood still.
prl_is_superseded() {
  local prl_record="$prl_run_dir/run.json"
  ((prl_on_platform)) && [[ -z $prl_used_up ]] || return 1
  (($(prl_starts_of "$prl_node_rank") <= prl_again + 1)) || return 0
  [[ -r $prl_record ]] && grep -q '"token": *"' "$prl_record" && ! grep -qF "\"$prl_token\"" "$prl_record"
}

prl_end_on_platform() {
  prl_tell "ending"
  prl_take_verdict
  prl_end_beat
  prl_end_pump
}
prl_end_beat() {
  local prl_beats prl_now=ended prl_shown='' prl_head prl_tail prl_sign='' prl_pattern='"beat": ([0-9]+)'
  [[ -n $prl_beating ]] || return 0
  kill -KILL -- "-$prl_beating" 2>/dev/null
  { read -r prl_sign <"$prl_run_dir/logs/.alive$prl_node_rank"; } 2>/dev/null || true
  [[ $prl_sign =~ $prl_pattern ]] && prl_beats=${BASH_REMATCH[1]} || prl_beats=0
  prl_write_sign_parts
  prl_give_sign true
  rm -f -- "$prl_note" "$prl_run_dir/logs/.doing$prl_node_rank.$prl_restarts"
}

# Each node ends with the exit code of the job, which is node 0's. If this node has failed, node 0 ends within half a
# minute. Else node 0 may still save, or evaluate.
prl_take_verdict() {
  local prl_i prl_sign='' prl_limit=$((prl_grace > 60 ? prl_grace : 60))
  ((prl_node_rank > 0)) && [[ -z $prl_used_up ]] || return 0 # then node 0 is refused as well
  { read -r prl_sign <"$prl_run_dir/logs/.alive0"; } 2>/dev/null || true
  ((prl_code == 0)) || prl_is_of_this_attempt "$prl_sign" || return 0 # node 0 has not come
  for ((prl_i = 0; ; prl_i++)); do
    if prl_ended_now 0; then
      [[ $prl_code == "$prl_end_code" ]] || prl_say "node 0 ($prl_end_host) ended with exit code $prl_end_code ($prl_end_state), and so does this node"
      prl_code=$prl_end_code
      return 0
    fi
    if prl_is_behind && prl_has_restarts_left; then
      prl_blame="another node was started again"
      prl_start_anew
    fi
    prl_hear ''
    if [[ -n $prl_blamed && $prl_code == 0 ]]; then
      prl_say "$prl_blame"
      prl_code=$prl_blamed
      return 0
    fi
    ((prl_code == 0 || prl_i < prl_limit)) && [[ $prl_blame != "node 0 ("*" was lost: "* ]] || return 0
    sleep 1
  done
}

# Another node was started again, so this one ends its part of the attempt and begins the next one, in the same process.
prl_start_anew() {
  local prl_name prl_line
  prl_say "$prl_blame: this node begins the next attempt with it"
  prl_note_attempt "$(prl_end_text)"
  prl_end_beat
  prl_end_pump
  trap - TERM INT HUP PIPE USR1 USR2 ALRM
  [[ -z $prl_lock ]] || exec {prl_lock}>&-
  if [[ -n $prl_stdout ]]; then exec >&"$prl_stdout" 2>&1; else exec >/dev/null 2>&1; fi
  [[ -z $prl_stdout ]] || exec {prl_stdout}>&-
  cd -- "$prl_first_dir" 2>/dev/null || cd /
  # The environment that launch.sh was started with.
  for prl_name in $(compgen -e); do unset -v "$prl_name"; done 2>/dev/null
  while IFS= read -r -d '' prl_line; do export "${prl_line?}"; done 2>/dev/null </proc/$$/environ
  exec "$BASH" "$prl_run_dir/launch.sh"
}

# --- standard output ------------------------------------------------------------------------------------

# A platform's web page shows only standard output. A loop copies the log there, so that a reader who does not read
# cannot stop the training.
prl_open_log_of_platform() {
  local prl_from
  # Somebody may have sent standard output into the log already.
  [[ /dev/stdout -ef $prl_log_file ]] || { exec {prl_stdout}>&1; } 2>/dev/null || prl_stdout=''
  exec >>"$prl_log_file" 2>&1 </dev/null
  [[ -n $prl_stdout ]] || return 0
  prl_from=$(stat -c %s -- "$prl_log_file" 2>/dev/null) || prl_from=0
  set -m
  prl_copy_log "$prl_from" 2>/dev/null &
  prl_pump=$!
  set +m
  disown "$prl_pump"
}
prl_copy_log() { # OFFSET
  local prl_from=$1 prl_bar=-100 prl_told='' prl_last prl_size prl_answer prl_taken
  set +e
  trap '' TERM INT HUP USR2 ALRM
  trap 'prl_told=1' USR1
  trap - PIPE
  [[ -z $prl_lock ]] || exec {prl_lock}>&-
  exec >/dev/null
  while :; do
    ! prl_is_over $$ || prl_told=1
    prl_last=$prl_told # told while it copies, it copies once more
    prl_size=$(stat -c %s -- "$prl_log_file") || prl_size=0
    if ((prl_size > prl_from)); then
      prl_uptime
      prl_answer=$({ tail -c "+$((prl_from + 1))" -- "$prl_log_file"; printf X; } | prl_thin_log 2>&1 >&"$prl_stdout") || return
      read -r prl_taken prl_bar <<<"$prl_answer"
      prl_from=$((prl_from + prl_taken))
    fi
    [[ -z $prl_last ]] || return
    sleep 1
  done
}
# Lines end with \n or \r. Of progress bars one line is left in 30 seconds. The last line is held back until it is whole;
# an X follows the log, because awk cannot tell whether a file ends with a line's end. Says on stderr how many bytes it
# has taken, and when it has printed a bar.
prl_thin_log() {
  LC_ALL=C awk -v bar="$prl_bar" -v now="$prl_seconds" -v last="$prl_last" '
    function show(text) {
      if (text ~ /[0-9]%\|/) { if (now - bar < 30) return; bar = now }
      print text
    }
    function take(text, whole,   parts, n, i) {
      n = split(text, parts, "\r")
      for (i = 1; i <= n; i++) {
        if (i == n - (n > 1 && parts[n] == "") && !whole) break
        if (parts[i] !~ /^ *$/ || n < 2) show(parts[i]) # blanks erase a bar
        taken += length(parts[i]) + 1
      }
      if (whole && n == 0) { print ""; taken++ }
    }
    NR > 1 { take(line, 1) }
    { line = $0 }
    END {
      line = substr(line, 1, length(line) - 1)
      take(line, last && line != "")
      print taken + 0, bar > "/dev/stderr"
    }'
}
prl_end_pump() { # it gets ten seconds to copy the rest
  local prl_i
  [[ -n $prl_pump ]] || return 0
  kill -USR1 "$prl_pump" 2>/dev/null
  for ((prl_i = 0; prl_i < 100; prl_i++)); do ! prl_is_over "$prl_pump" || return 0; sleep 0.1; done
  kill -KILL -- "-$prl_pump" 2>/dev/null
}

# A setup line that defines a function of one of these names fails: it would replace a part of launch.sh.
readonly -f prl_begin prl_own_shell prl_lend_shell prl_take_back prl_end_environment prl_continue prl_need prl_preflight \
  prl_before_training prl_run prl_after_training prl_finish

# launch.sh goes on only if bash has read this last line: with a damaged library no setup line must run.
# shellcheck disable=SC2034 # launch.sh reads it
prl_library=whole
