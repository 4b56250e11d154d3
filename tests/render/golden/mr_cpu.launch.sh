#!/usr/bin/env bash
# mr-cpu: one node of the job. Made by prl-submit VERSION from jobs/mr_cpu.yaml
# Run by hand, `bash launch.sh` does the same thing. Edit the spec, not this file.
set -euo pipefail

prl_run_dir=/home/me/prl/output/vNN-YYYYMMDD-HHMMSS
prl_workdir=/home/me/prl
# Not $HOSTNAME, which a job may inherit from where it was submitted.
prl_host=${SLURMD_NODENAME:-$(uname -n)}
prl_nodes=1
prl_nproc_per_node=2
prl_node_rank=0
# A scheduler that starts the job again says how often it has done so.
prl_again=${PRL_SUBMIT_RESTARTS:-0}
prl_restarts=$((0 + prl_again))
prl_max_restarts=0
# Seconds between SIGTERM and SIGKILL.
prl_grace=30
# Seconds; 0: none, or the scheduler's business.
prl_time_limit=1800
prl_time_limit_words=00:30:00
# A checkpoint that does not fit is a lost run.
prl_min_free_mib=1024

# ms-swift's arguments, one per line.
prl_swift_args=(
  --rlhf_type grpo
  --model ./models/tiny-qwen2
  --torch_dtype float32
  --dataset jobs/data/mr_train.jsonl
  --val_dataset jobs/data/mr_val.jsonl
  --external_plugins jobs/plugins/prl_rewards.py
  --reward_funcs prl_format prl_accuracy
  --reward_weights 0.3 0.7
  --per_device_train_batch_size 2
  --per_device_eval_batch_size 2
  --num_generations 2
  --max_completion_length 32
  --use_vllm false
  --eval_steps 2
  --save_steps 2
  --logging_steps 1
  --dataloader_num_workers 0
  --log_completions true
  --gradient_checkpointing_kwargs '{"use_reentrant": false}'
  --report_to none
  --model_type qwen2
  --template qwen2_5
  --check_model false
  --max_length 256
  --max_steps 4
  --use_cpu true
  --ddp_backend gloo
  --output_dir /home/me/prl/output/vNN-YYYYMMDD-HHMMSS
  --add_version false
)

# --- exit.json: the job's own word on how it ended, written at every end --------------------------

prl_started_at=$(date +%Y-%m-%dT%H:%M:%S%:z)
prl_doing="starting"
prl_state= prl_reason= prl_signalled= prl_timed_out= prl_child= prl_watchdog= prl_canary= prl_trained= prl_terminal=
prl_interrupts=0
prl_exit_file=$prl_run_dir/exit.json
[[ $prl_node_rank == 0 ]] || prl_exit_file=$prl_run_dir/logs/node$prl_node_rank.exit.json
prl_log_file=$prl_run_dir/logs/node$prl_node_rank.log

json_string() {
  local text=${1//\\/\\\\}
  text=${text//\"/\\\"}
  printf '"%s"' "${text//[[:cntrl:]]/ }"
}

# Everything the job started carries the token in its environment, wherever it has moved to since.
job_processes() {
  local file files
  files=$(env -u PRL_SUBMIT_TOKEN grep -lszxF -e "PRL_SUBMIT_TOKEN=$PRL_SUBMIT_TOKEN" \
    /proc/[0-9]*/environ 2>/dev/null) || true
  for file in $files; do file=${file#/proc/}; echo "${file%/environ}"; done
}

leave_nothing_behind() {
  local pids seconds
  for seconds in 0 0.1 0.3 0.6 1 3; do
    sleep "$seconds"
    pids=$(job_processes)
    [[ -n $pids ]] || return 0
    kill -TERM $pids 2>/dev/null || true
  done
  pids=$(job_processes)
  [[ -z $pids ]] || kill -KILL $pids 2>/dev/null || true
}

finish() {
  local prl_code=$?
  trap - EXIT
  trap '' TERM INT HUP USR1
  set +e
  [[ -z $prl_watchdog ]] || kill "$prl_watchdog" 2>/dev/null
  [[ -z $prl_canary ]] || kill -KILL "$prl_canary" 2>/dev/null
  leave_nothing_behind
  [[ $prl_signalled != 15 || ! -e $prl_run_dir/logs/.time-limit ]] || prl_timed_out=warned
  wait_for_node_0
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
    prl_reason="failed while $prl_doing (exit code $prl_code)"
  elif [[ $prl_code == 0 && -z $prl_trained ]]; then
    # `exit 0` in a setup line, or a here-document nobody closed, must not look like success.
    prl_code=78 prl_reason="ended while $prl_doing, before the training"
  fi
  [[ -n $prl_state ]] || { [[ $prl_code == 0 ]] && prl_state=SUCCEEDED || prl_state=FAILED; }
  local text
  text=$(
    printf '{"exit_code": %d, "state": "%s", "started_at": "%s", "ended_at": "%s", ' \
      "$prl_code" "$prl_state" "$prl_started_at" "$(date +%Y-%m-%dT%H:%M:%S%:z)"
    printf '"restarts": %d, "node": %s, "reason": ' "$prl_restarts" "$(json_string "$prl_host")"
    [[ -z $prl_reason ]] && printf 'null' || json_string "$prl_reason"
    printf '}'
  )
  note_attempt "$text"
  # 1<>: in place, for on a full disk there is no room but what was kept for this.
  printf '%s\n' "$text" 1<>"$prl_exit_file.part"
  (LC_ALL=C; truncate -s $((${#text} + 1)) -- "$prl_exit_file.part")
  say "$prl_state${prl_reason:+: $prl_reason}"
  [[ -z $prl_terminal ]] || say "$prl_state${prl_reason:+: $prl_reason}" >&"$prl_terminal"
  mv -f -- "$prl_exit_file.part" "$prl_exit_file" # last: who sees it takes the log for whole
  exit "$prl_code"
}

# exit.json is the last attempt's alone. This file keeps all of them: a line at each start and each end.
note_attempt() { # JSON
  [[ $prl_node_rank == 0 ]] || return 0
  printf '%s\n' "$1" >>"$prl_run_dir/logs/attempts.jsonl" || true
}

# Told to stop, node 0 saves the checkpoint; srun ends it as soon as another node is gone.
wait_for_node_0() {
  local seconds
  [[ -n $prl_signalled && $prl_node_rank != 0 ]] || return 0
  for ((seconds = 0; seconds < prl_grace; seconds++)); do
    [[ ! -e $prl_run_dir/exit.json ]] || return 0
    sleep 1
  done
}

say() { printf 'prl-submit: %s\n' "$*"; }

fail() { # CODE REASON
  prl_reason=$2
  exit "$1"
}

# Slurm signals launch.sh alone (proctrack/cgroup) or every process of the step (proctrack/linuxproc).
# torchrun takes a second signal for impatience; so a canary says whether it had the first.
all_were_told() {
  local state
  sleep 0.3
  read -r _ _ state _ 2>/dev/null <"/proc/$prl_canary/stat" || return 0
  [[ $state == Z ]]
}

pass_on() { # SIGNAL NUMBER: torchrun tells its ranks; what still runs after the grace is killed
  prl_interrupts=$((prl_interrupts + 1))
  [[ -z $prl_signalled ]] || return 0
  prl_signalled=$2
  [[ -n $prl_child ]] || exit $((128 + $2))
  say "got SIG$1, passing it on; at most $prl_grace s until the kill"
  [[ $1 == TERM ]] && all_were_told || kill -"$1" "$prl_child" 2>/dev/null || true
  (sleep "$prl_grace" && kill -KILL $(job_processes) 2>/dev/null) &
}

time_is_up() {
  prl_interrupts=$((prl_interrupts + 1))
  [[ -z $prl_signalled && -z $prl_trained ]] || return 0
  prl_timed_out=1
  pass_on TERM 15
}

arm() {
  trap finish EXIT
  trap 'pass_on TERM 15' TERM
  trap 'pass_on INT 2' INT
  trap time_is_up USR1
  trap '' HUP  # the job outlives the terminal
}

mkdir -p -- "$prl_run_dir"
# Held by every process of the job. Where there is no room, no flock or no locks, it must do without.
exec {prl_lock}>"$prl_run_dir/.node$prl_node_rank.lock" || prl_lock=
prl_locked=0
# A file server may take a minute or two to let go of what a lost node held.
[[ -z $prl_lock ]] || ! type -P flock >/dev/null ||
  flock -w $((prl_again ? 180 : 0)) -E 75 "$prl_lock" || prl_locked=$?
if ((prl_locked == 75)); then
  say "$prl_run_dir is in use: its job still runs, 'prl-submit status' says more" >&2
  exit 75
fi
arm
prl_doing="making the folder of the logs"
mkdir -p -- "$prl_run_dir/logs"
rm -f -- "$prl_exit_file" # an earlier attempt's
note_attempt "{\"started_at\": \"$prl_started_at\", \"restarts\": $prl_restarts, \"node\": $(json_string "$prl_host")}"
# Under Slurm: which job has the run, also where somebody typed sbatch.
[[ $prl_node_rank != 0 || -z ${SLURM_JOB_ID:-} ]] || echo "$SLURM_JOB_ID" >"$prl_run_dir/logs/.job"
printf '%4096s\n' '' >"$prl_exit_file.part" # room for the last word, kept free from now on
if [[ -t 2 ]]; then # by hand: the last word comes to the terminal too
  exec {prl_terminal}>&2
  say "output goes to $prl_log_file"
fi
exec >>"$prl_log_file" 2>&1 </dev/null
say "$prl_started_at on $prl_host, node $prl_node_rank of $prl_nodes, restarts $prl_restarts"

# One per node: two nodes of a job may be one machine. One per directory: scripts that were rendered and not
# submitted have the same token.
export PRL_SUBMIT_TOKEN=0123456789abcdef.$prl_node_rank.$(stat -c %d.%i -- "$prl_run_dir")
((prl_again <= prl_max_restarts)) || fail 1 "started again $prl_again times; restarts.max is $prl_max_restarts"
watch_time() { # [COMMAND]: what else to do when the time limit is reached
  [[ -z $prl_watchdog ]] || kill "$prl_watchdog" 2>/dev/null || true
  ((prl_time_limit > 0)) || return 0
  (sleep $((prl_time_limit > SECONDS ? prl_time_limit - SECONDS : 0)) && kill -USR1 $$ && "$@") 2>/dev/null &
  prl_watchdog=$!
}

# bash hears the signal only when the command in its foreground has ended.
end_setup() {
  kill -TERM $(job_processes)
  sleep "$prl_grace"
  kill -KILL $(job_processes)
}

watch_time end_setup

# --- environment ----------------------------------------------------------------------------------

prl_doing="entering the working directory"
cd -- "$prl_workdir" || fail 78 "working directory $prl_workdir is not on $prl_host"

prl_doing="activating the virtual environment"
prl_venv=.venv
[[ $prl_venv != "~/"* ]] || prl_venv=$HOME/${prl_venv#"~/"}
[[ -r $prl_venv/bin/activate ]] || fail 78 "virtual environment $prl_venv is not here: no bin/activate (in $prl_workdir)"
set +u; source "$prl_venv/bin/activate" || true; set -u

export PYTHONUTF8=1  # paths and logs are UTF-8, whatever the node's locale
export CUDA_VISIBLE_DEVICES=''
export WANDB_MODE=offline
export HF_HUB_OFFLINE=1
export TRANSFORMERS_OFFLINE=1
export HF_DATASETS_OFFLINE=1
export TOKENIZERS_PARALLELISM=false
export OMP_NUM_THREADS=1

prl_doing='running environment.setup line 1: python jobs/make_tiny_model.py models/tiny-qwen2'
set +u
python jobs/make_tiny_model.py models/tiny-qwen2

set -u

# --- a restart goes on from the last complete checkpoint ------------------------------------------

# A kill in the middle of a save leaves a folder without some of its files.
is_complete() { # CHECKPOINT
  local file rank weights= needed=(trainer_state.json) world=$((prl_nodes * prl_nproc_per_node))
  local deepspeed=("$1"/global_step*) sharded=("$1"/optimizer_[0-9]*/.metadata)
  if ((world == 1)); then needed+=(rng_state.pth); fi
  for ((rank = 0; world > 1 && rank < world; rank++)); do needed+=("rng_state_$rank.pth"); done
  if [[ -e ${deepspeed[0]} ]]; then
    needed+=(latest) # DeepSpeed writes it after everything else
  elif [[ -s ${sharded[0]} ]]; then
    needed+=(scheduler.pt) # FSDP2: folders, .metadata comes last
  elif [[ -e $1/optimizer.bin ]]; then
    needed+=(optimizer.bin scheduler.pt) # FSDP
  else
    needed+=(optimizer.pt scheduler.pt)
  fi
  while read -r file; do needed+=("$file"); done < <( # the shards of the weights
    cat -- "$1"/*.index.json 2>/dev/null | grep -oE '"[^"]+\.(safetensors|bin)"' | tr -d '"' | sort -u
  )
  for file in "${needed[@]}"; do [[ -s $1/$file ]] || return 1; done
  for file in "$1"/*.safetensors "$1"/*.bin "$1"/*.pt "$1"/global_step* "$1"/pytorch_model_fsdp_[0-9]*/.metadata; do
    case ${file##*/} in optimizer.pt | optimizer.bin | scheduler.pt | scaler.pt | training_args.bin) continue ;; esac
    if [[ -d $file || -s $file ]]; then weights=1; elif [[ -e $file ]]; then return 1; fi
  done
  for file in "$1/trainer_state.json" "$1"/*.index.json; do
    [[ ! -e $file ]] || is_whole_json "$file" || return 1
  done
  [[ -n $weights ]]
}

# transformers ends its JSON with a brace that begins the last line; a file cut short ends otherwise.
is_whole_json() { # FILE
  local last
  last=$(tail -n 1 -- "$1" 2>/dev/null) || return 1
  [[ $last == "}" || $last == "{"*"}" ]]
}

checkpoint_steps() { # newest first
  (cd -- "$prl_run_dir" && compgen -G 'checkpoint-*') | sed -nE 's/^checkpoint-([0-9]+)$/\1/p' | sort -rn
}

last_checkpoint() {
  local step
  while read -r step; do
    if is_complete "$prl_run_dir/checkpoint-$step"; then
      echo "$prl_run_dir/checkpoint-$step"
      return
    fi
  done < <(checkpoint_steps)
}

prl_checkpoint=
((prl_again == 0)) || prl_checkpoint=$(last_checkpoint)
go_on_from() { # CHECKPOINT, or nothing: from the beginning
  local i
  prl_checkpoint=$1
  say "restart $prl_again: continues from ${prl_checkpoint##*/}"
  for ((i = ${#prl_swift_args[@]} - 1; i >= 0; i--)); do
    case ${prl_swift_args[i]-} in
      --resume_from_checkpoint) unset "prl_swift_args[i]" "prl_swift_args[i + 1]" ;;
      --resume_from_checkpoint=*) unset "prl_swift_args[i]" ;;
    esac
  done
  [[ -z $prl_checkpoint ]] || prl_swift_args+=(--resume_from_checkpoint "$prl_checkpoint")
}
if [[ -n $prl_checkpoint ]]; then
  go_on_from "$prl_checkpoint"
elif ((prl_again > 0)); then
  say "restart $prl_again: there is no complete checkpoint, the training begins again"
fi

# --- preflight: what would fail minutes later fails now, all of it at once ------------------------

arm  # a setup line may have had traps of its own
prl_doing="looking the node over"
prl_faults=()

find_python() { # the interpreter that torchrun itself will use, into the array `python`
  local first=
  read -r first <"$(type -P torchrun)" || true
  case $first in
    '#!'*python*) read -ra python <<<"${first#'#!'}" ;;
    # pip starts a script in /bin/sh where python's path holds a space
    *) python=("$(type -P python || type -P python3 || true)") ;;
  esac
}

visible_gpus() {
  local here listed
  if type -P nvidia-smi >/dev/null; then
    here=$(timeout 1.5 nvidia-smi -L 2>/dev/null | grep -cE '^ *(GPU|MIG) ') || true
  fi
  # Not installed, or too slow: without persistence mode the driver wakes up anew each time.
  [[ ${here:-0} != 0 ]] || here=$(compgen -G '/dev/nvidia[0-9]*' | wc -l) || true
  if [[ -z ${CUDA_VISIBLE_DEVICES+x} ]]; then
    echo "$here"
  else
    # As CUDA does: the list ends at the first device that is not there.
    listed=$(awk -F '[ ,]+' -v here="$here" '{
      for (i = 1; i <= NF; i++) if ($i ~ /^-/ || ($i ~ /^[0-9]+$/ && $i + 0 >= here)) break; else if ($i != "") n++
    } END { print n + 0 }' <<<"$CUDA_VISIBLE_DEVICES")
    echo $((listed < here ? listed : here))
  fi
}

preflight() {
  local missing python=()
  [[ -e /home/me/prl/models/tiny-qwen2 ]] || prl_faults+=('model /home/me/prl/models/tiny-qwen2 is not on this node (swift.model)')
  [[ -e /home/me/prl/jobs/data/mr_train.jsonl ]] || prl_faults+=('dataset /home/me/prl/jobs/data/mr_train.jsonl is not on this node (swift.dataset)')
  [[ -e /home/me/prl/jobs/data/mr_val.jsonl ]] || prl_faults+=('dataset /home/me/prl/jobs/data/mr_val.jsonl is not on this node (swift.val_dataset)')
  [[ -e /home/me/prl/jobs/plugins/prl_rewards.py ]] || prl_faults+=('plugin /home/me/prl/jobs/plugins/prl_rewards.py is not on this node (swift.external_plugins)')
  if ! type -t torchrun >/dev/null; then
    prl_faults+=("torchrun is not on PATH: the environment has no torch, or was not activated")
  elif find_python 2>/dev/null && [[ -n ${python[0]} ]]; then
    missing=$("${python[@]}" -c 'import importlib.util as u, sys
print(*(m for m in sys.argv[1:] if u.find_spec(m) is None))' torch swift 2>/dev/null) || missing="working python"
    [[ -z $missing ]] || prl_faults+=("${python[*]} has no $missing: install ms-swift there, or activate another environment")
  fi
  [[ -w $prl_run_dir && -w $prl_run_dir/logs ]] || prl_faults+=("run directory $prl_run_dir is not writable")
  local free
  free=$(df -Pm -- "$prl_run_dir" | awk 'NR == 2 {print $4}')
  ((free >= prl_min_free_mib)) || prl_faults+=("only $free MiB are free at $prl_run_dir, $prl_min_free_mib are needed")
}

if [[ ${PRL_PREFLIGHT:-on} != off ]]; then
  preflight
  if [[ -n ${prl_faults[*]-} ]]; then
    for prl_fault in "${prl_faults[@]}"; do say "preflight: $prl_fault"; done
    printf -v prl_joined '%s; ' "${prl_faults[@]}"
    fail 78 "preflight: ${prl_joined%; }"
  fi
fi

# --- the training ---------------------------------------------------------------------------------

prl_doing="training"
prl_log_start=$(stat -c %s -- "$prl_log_file" 2>/dev/null || echo 0)
prl_steps_start=$(stat -c %s -- "$prl_run_dir/logging.jsonl" 2>/dev/null || echo 0)
prl_began=$prl_run_dir/logs/.began$prl_node_rank
: >"$prl_began"
say "$(date +%H:%M:%S) torchrun, $prl_nproc_per_node processes"

# torchrun kills its ranks 30 s after SIGTERM unless told otherwise.
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=$prl_grace
# Where `PET_TEE=3` in the job's environment makes torchrun log each rank apart.
[[ -z ${PET_TEE:-}${PET_REDIRECTS:-} ]] || export PET_LOG_DIR=$prl_run_dir/logs/ranks/node$prl_node_rank
set -m  # process groups of their own: the terminal's Ctrl-C reaches torchrun through us alone
tail --pid=$$ -f /dev/null & # ends with this shell, however that ends
prl_canary=$!
disown "$prl_canary" # bash would log its end
torchrun --standalone --nproc_per_node="$prl_nproc_per_node" -m swift.cli.rlhf "${prl_swift_args[@]}" &
prl_child=$!
set +m
watch_time
prl_code=0
while :; do # a trap ends `wait` early with its own code; only an undisturbed wait has torchrun's
  prl_before=$prl_interrupts
  wait "$prl_child" && prl_code=0 || prl_code=$?
  [[ $prl_interrupts != "$prl_before" ]] || break
done

# --- what ms-swift does not say -------------------------------------------------------------------

this_attempt() { tail -c "+$((prl_log_start + 1))" -- "$prl_log_file"; }
appended() { tail -c "+$((prl_steps_start + 1))" -- "$prl_run_dir/logging.jsonl" 2>/dev/null || true; }
new_checkpoints() { find "$prl_run_dir" -maxdepth 1 -name 'checkpoint-*' -newer "$prl_began" 2>/dev/null; }

last_error() {
  local line
  line=$(this_attempt | tail -c 400000 | tr '\r' '\n' |
    grep -aE '^(\[default[0-9]+\]:)?(\[rank[0-9]+\]: ?)?[A-Za-z_][A-Za-z0-9_.]*(Error|Exception|Interrupt): .' |
    grep -avE 'ChildFailedError|Connection (closed|reset) by peer|DistNetworkError|DistBackendError' | tail -n 1) || true
  if [[ -z $line ]]; then
    line=$(last_signal)
    [[ $line != *SIGKILL* ]] || line+=" (killed from outside; out of memory is the usual cause)"
  fi
  printf '%s' "${line:0:500}" | iconv -c -f UTF-8 -t UTF-8 2>/dev/null || true
}
last_signal() { this_attempt | grep -aoE 'Signal [0-9]+ \(SIG[A-Z]+\) received by PID [0-9]+' | tail -n 1 || true; }

# No `grep -q` here: it would end `tail` with SIGPIPE, which pipefail takes for a failure.
trained_nothing() {
  # Perhaps the attempt before was stopped after its last step.
  ! { [[ -n $prl_checkpoint ]] && is_at_its_last_step "$prl_checkpoint"; } &&
  ! appended | grep -E '"global_step/max_steps": *"[1-9]' >/dev/null && [[ -z $(new_checkpoints) ]]
}
is_at_its_last_step() { # CHECKPOINT
  grep -oE '"(global_step|max_steps)": *[0-9]+' "$1/trainer_state.json" |
    awk -F '[": ]+' '{seen[$2] = $3} END {exit !(seen["global_step"] != "" && seen["global_step"] == seen["max_steps"])}'
}

# When all is done, a rank may still crash: threads of torch ask for an interpreter that has gone
# (pytorch#190489), and torchrun exits with 1.
came_to_its_end() { # this node's first rank
  this_attempt | grep -aF 'End time of running main' >/dev/null
}
only_crashed() {
  local codes
  codes=$(this_attempt | grep -aoE 'exitcode +: -?[0-9]+' | grep -oE -e '-?[0-9]+$' | sort -nu | xargs) || return 1
  # -15: torchrun stops the others, which are on their way out too.
  case $codes in -6 | -11 | "-11 -6" | "-15 -6" | "-15 -11" | "-15 -11 -6") ;; *) return 1 ;; esac
}
# The proof, in which all ranks had a part. Node 0 looks for it; another node may end before it is there.
saved_its_last_step() {
  local step newest
  step=$(checkpoint_steps | sed -n 1p)
  [[ -n $step ]] || return 1
  newest=$prl_run_dir/checkpoint-$step
  [[ $newest == "$prl_checkpoint" || $newest/trainer_state.json -nt $prl_began ]] &&
    is_complete "$newest" && is_at_its_last_step "$newest"
}

prl_nothing="ms-swift ended without one training step; is the data set smaller than one generation batch?"

if [[ -z $prl_signalled && $prl_code != 0 ]]; then
  prl_error=$(last_error)
  [[ $prl_code != 137 || -n $prl_error ]] || prl_error="killed (SIGKILL); out of memory is the usual cause"
  prl_reason="torchrun exited with $prl_code${prl_error:+: $prl_error}"
  if came_to_its_end; then
    if only_crashed && { ((prl_node_rank > 0)) || saved_its_last_step || trained_nothing; }; then
      prl_code=0 prl_reason="the training came to its end; a process crashed on its way out: $(last_signal)"
    elif ((prl_node_rank == 0)) && trained_nothing; then # what came then is not the cause
      prl_reason="$prl_nothing (then: $prl_reason)"
    fi
  fi
fi
if [[ -z $prl_signalled && $prl_code == 0 && $prl_node_rank == 0 ]]; then
  # Exit 0 is not yet success: a data set smaller than one generation batch trains nothing, and
  # ranks that never found each other train one by one into the same directory.
  if trained_nothing; then fail 65 "$prl_nothing"; fi
  if ((prl_nodes * prl_nproc_per_node > 1)); then
    prl_doubled=$(appended | grep -F '"learning_rate"' | grep -oE '"global_step/max_steps": *"[0-9]+' | sort | uniq -d) || true
    prl_alone=$(find "$prl_run_dir" -mindepth 2 -maxdepth 2 -path '*/checkpoint-*/rng_state.pth' -newer "$prl_began" 2>/dev/null) || true
    if [[ -n $prl_doubled || -n $prl_alone ]]; then
      fail 65 "each process trained alone: $((prl_nodes * prl_nproc_per_node)) trainings of world size 1 instead of one of $((prl_nodes * prl_nproc_per_node))"
    fi
  fi
fi
prl_trained=1
exit "$prl_code"
