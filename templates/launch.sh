#!/usr/bin/env bash
# {{ name|comment }}: one node of the job. Made by prl-submit {{ version|comment }} from {{ spec_file|comment }}
# Run by hand, `bash launch.sh` does the same thing. Edit the spec, not this file.
set -euo pipefail

run_dir={{ run_dir|bash }}
workdir={{ workdir|bash }}
nodes={{ nodes }}
nproc_per_node={{ nproc }}
{% if nodes > 1 %}
node_rank=${NODE_RANK:-0}
{% else %}
node_rank=0
{% endif %}
restarts={{ restarts }}
# Seconds between SIGTERM and SIGKILL.
grace={{ grace }}
# Seconds; 0: none, or the scheduler's business.
time_limit={{ time_limit }}
# A checkpoint that does not fit is a lost run.
min_free_mib=1024

# ms-swift's arguments, one per line.
swift_args=(
{% for group in arguments %}
  {{ group|bash_words }}
{% endfor %}
)

# --- exit.json: the job's own word on how it ended, written at every end --------------------------

started_at=$(date +%Y-%m-%dT%H:%M:%S%:z)
doing="starting"
state= reason= signalled= timed_out= child= watchdog=
interrupts=0
exit_file=$run_dir/exit.json
[[ $node_rank == 0 ]] || exit_file=$run_dir/logs/node$node_rank.exit.json
log_file=$run_dir/logs/node$node_rank.log

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
  local code=$?
  trap - EXIT
  trap '' TERM INT HUP USR1
  set +e
  [[ -z $watchdog ]] || kill "$watchdog" 2>/dev/null
  leave_nothing_behind
  if [[ -n $timed_out ]]; then
    code=124 state=TIMEOUT reason="the time limit of $time_limit s was reached"
  elif [[ -n $signalled ]]; then
    code=$((128 + signalled)) state=FAILED reason="stopped by signal $signalled while $doing"
    if [[ -e $run_dir/cancel.json ]]; then
      state=CANCELLED reason=$(sed -n 's/.*"reason": *"\([^"]*\)".*/\1/p' "$run_dir/cancel.json")
    elif [[ $signalled == 2 ]]; then
      state=CANCELLED reason="interrupted (SIGINT) while $doing"
    fi
  elif [[ $code != 0 && -z $reason ]]; then
    reason="failed while $doing (exit code $code)"
  fi
  [[ -n $state ]] || { [[ $code == 0 ]] && state=SUCCEEDED || state=FAILED; }
  {
    printf '{"exit_code": %d, "state": "%s", "started_at": "%s", "ended_at": "%s", ' \
      "$code" "$state" "$started_at" "$(date +%Y-%m-%dT%H:%M:%S%:z)"
    printf '"restarts": %d, "node": %s, "reason": ' "$restarts" "$(json_string "$(hostname)")"
    [[ -z $reason ]] && printf 'null' || json_string "$reason"
    printf '}\n'
  } >"$exit_file.part" && mv -f -- "$exit_file.part" "$exit_file"
  [[ -z $reason ]] || say "$state: $reason"
  exit "$code"
}

say() { printf 'prl-submit: %s\n' "$*"; }

fail() { # CODE REASON
  reason=$2
  exit "$1"
}

pass_on() { # SIGNAL NUMBER: torchrun tells its ranks; what still runs after the grace is killed
  interrupts=$((interrupts + 1))
  [[ -z $signalled ]] || return 0
  signalled=$2
  [[ -n $child ]] || exit $((128 + $2))
  say "got SIG$1, passing it on; $grace s until the kill"
  kill -"$1" "$child" 2>/dev/null || true
  (sleep "$grace" && kill -KILL $(job_processes) 2>/dev/null) &
}

trap finish EXIT
trap 'pass_on TERM 15' TERM
trap 'pass_on INT 2' INT
trap 'timed_out=1; pass_on TERM 15' USR1
trap '' HUP  # the job outlives the terminal

mkdir -p -- "$run_dir/logs"
[[ ! -t 1 ]] || say "output goes to $log_file"
exec >>"$log_file" 2>&1 </dev/null
say "$started_at on $(hostname), node $node_rank of $nodes, restarts $restarts"

export PRL_SUBMIT_TOKEN={{ token|bash }}
if ((time_limit > 0)); then
  (sleep "$time_limit" && kill -USR1 $$ 2>/dev/null) &
  watchdog=$!
fi

# --- environment ----------------------------------------------------------------------------------

doing="entering the working directory"
cd -- "$workdir" || fail 78 "working directory $workdir is not on $(hostname)"
{% if modules %}

doing="loading modules"
if ! type -t module >/dev/null; then
  for init in "${LMOD_PKG:-/nowhere}/init/bash" "${MODULESHOME:-/nowhere}/init/bash" \
    /etc/profile.d/lmod.sh /etc/profile.d/modules.sh /usr/share/lmod/lmod/init/bash; do
    if [[ -r $init ]]; then set +u; source "$init"; set -u; break; fi
  done
fi
type -t module >/dev/null || fail 78 "environment.modules: this node has no 'module' command"
{% for module in modules %}
set +u; module load {{ module|bash }} || fail 78 {{ ("environment.modules: 'module load " ~ module ~ "' failed")|bash }}; set -u
{% endfor %}
{% endif %}
{% if conda %}

doing="activating the conda environment"
conda_name={{ conda|bash }}
conda_root={{ conda_root|bash }}
if [[ ${CONDA_DEFAULT_ENV:-} != "$conda_name" ]]; then
  conda_exe=${CONDA_EXE:-$(type -P conda || true)}
  for candidate in "$conda_root" "${conda_exe%/*/*}" "$HOME/miniconda3" "$HOME/miniforge3" \
    "$HOME/anaconda3" /opt/conda /opt/miniconda3 /opt/miniforge3; do
    if [[ -n $candidate && -r $candidate/etc/profile.d/conda.sh ]]; then
      conda_found=$candidate
      break
    fi
  done
  [[ -n ${conda_found:-} ]] || fail 78 \
    "conda is not on this node; say where it is with environment.conda: {name: $conda_name, root: DIR}"
  # conda's own scripts read unset variables.
  set +u
  source "$conda_found/etc/profile.d/conda.sh"
  conda activate "$conda_name" || fail 78 \
    "conda environment '$conda_name' is not in $conda_found; it has: base $(ls "$conda_found/envs" 2>/dev/null | tr '\n' ' ')"
  set -u
fi
{% endif %}
{% if venv %}

doing="activating the virtual environment"
venv={{ venv|bash }}
[[ $venv != "~/"* ]] || venv=$HOME/${venv#"~/"}
[[ -r $venv/bin/activate ]] || fail 78 "virtual environment $venv is not here: no bin/activate (in $workdir)"
set +u; source "$venv/bin/activate"; set -u
{% endif %}

export PYTHONUTF8=1  # paths and logs are UTF-8, whatever the node's locale
{% for name, value in exports|items %}
export {{ name|bash }}={{ value|bash }}
{% endfor %}
{% if visible %}
export CUDA_VISIBLE_DEVICES={{ visible|bash }}
{% endif %}
{% for name in secrets %}
[[ -v {{ name|verbatim }} ]] || fail 78 "secret {{ name|verbatim }} is not set in the job's environment"
{% endfor %}
{% for line in setup %}

doing={{ ("running environment.setup line " ~ loop.index ~ ": " ~ line)|bash }}
set +u
{{ line|verbatim }}
set -u
{% endfor %}

# --- preflight: what would fail minutes later fails now, all of it at once ------------------------

doing="looking the node over"
faults=()

launcher_python() { # the interpreter that torchrun itself will use
  local launcher first=
  launcher=$(type -P torchrun) || return 0
  read -r first <"$launcher" 2>/dev/null || true
  case $first in
    '#!'*python*) echo "${first#'#!'}" ;;
    *) type -P python || type -P python3 || true ;;
  esac
}

visible_gpus() {
  local here listed
  if type -P nvidia-smi >/dev/null; then
    here=$(timeout 1.5 nvidia-smi -L 2>/dev/null | grep -cE '^ *(GPU|MIG) ') || true
  else
    here=$(compgen -G '/dev/nvidia[0-9]*' | wc -l) || true
  fi
  if [[ -z ${CUDA_VISIBLE_DEVICES+x} ]]; then
    echo "$here"
  else
    listed=$(tr ',' '\n' <<<"$CUDA_VISIBLE_DEVICES" | grep -c .) || true
    echo $((listed < here ? listed : here))
  fi
}

preflight() {
  local missing python
{% if gpu %}
  local gpus
  gpus=$(visible_gpus)
  ((gpus >= nproc_per_node)) || faults+=("$gpus GPUs are visible, $nproc_per_node are needed, one per process (CUDA_VISIBLE_DEVICES=${CUDA_VISIBLE_DEVICES-unset})")
{% endif %}
{% for kind, key, path in paths %}
  [[ -e {{ path|bash }} ]] || faults+=({{ (kind ~ " " ~ path ~ " is not on this node (" ~ key ~ ")")|bash }})
{% endfor %}
  if ! type -t torchrun >/dev/null; then
    faults+=("torchrun is not on PATH: the environment has no torch, or was not activated")
  elif python=$(launcher_python) && [[ -n $python ]]; then
    missing=$($python -c 'import importlib.util as u, sys
print(*(m for m in sys.argv[1:] if u.find_spec(m) is None))' torch swift 2>&1) || missing="usable python ($missing)"
    [[ -z $missing ]] || faults+=("$python has no $missing: install ms-swift there, or activate another environment")
  fi
  [[ -w $run_dir && -w $run_dir/logs ]] || faults+=("run directory $run_dir is not writable")
  local free
  free=$(df -Pm -- "$run_dir" | awk 'NR == 2 {print $4}')
  ((free >= min_free_mib)) || faults+=("only $free MiB are free at $run_dir, $min_free_mib are needed")
{% if nodes > 1 %}
  [[ -n ${MASTER_ADDR:-} && -n ${MASTER_PORT:-} ]] || faults+=("MASTER_ADDR and MASTER_PORT are not set: each of $nodes nodes needs them, and NODE_RANK")
  if [[ $node_rank == 0 ]] && (: <"/dev/tcp/127.0.0.1/${MASTER_PORT:-0}") 2>/dev/null; then
    faults+=("port $MASTER_PORT is taken on this node")
  fi
{% endif %}
}

if [[ ${PRL_PREFLIGHT:-on} != off ]]; then
  preflight
  if [[ -n ${faults[*]-} ]]; then
    for fault in "${faults[@]}"; do say "preflight: $fault"; done
    printf -v joined '%s; ' "${faults[@]}"
    fail 78 "preflight: ${joined%; }"
  fi
fi

# --- the training ---------------------------------------------------------------------------------

doing="training"
log_start=$(stat -c %s -- "$log_file" 2>/dev/null || echo 0)
steps_start=$(stat -c %s -- "$run_dir/logging.jsonl" 2>/dev/null || echo 0)
began=$run_dir/logs/.began$node_rank
: >"$began"
say "$(date +%H:%M:%S) torchrun, $nproc_per_node processes on each of $nodes nodes"

set -m  # a process group of its own: the terminal's Ctrl-C reaches torchrun through us alone
{% if nodes > 1 %}
torchrun --nnodes="$nodes" --nproc_per_node="$nproc_per_node" --node_rank="$node_rank" \
  --master_addr="$MASTER_ADDR" --master_port="$MASTER_PORT" -m {{ entry_point|bash }} "${swift_args[@]}" &
{% else %}
torchrun --standalone --nproc_per_node="$nproc_per_node" -m {{ entry_point|bash }} "${swift_args[@]}" &
{% endif %}
child=$!
set +m
code=0
while :; do # a trap ends `wait` early with its own code; only an undisturbed wait has torchrun's
  before=$interrupts
  wait "$child" && code=0 || code=$?
  [[ $interrupts != "$before" ]] || break
done

# --- what ms-swift does not say -------------------------------------------------------------------

appended() { tail -c "+$((steps_start + 1))" -- "$run_dir/logging.jsonl" 2>/dev/null || true; }
new_checkpoints() { find "$run_dir" -maxdepth 1 -name 'checkpoint-*' -newer "$began" 2>/dev/null; }

last_error() {
  local line
  line=$(tail -c "+$((log_start + 1))" -- "$log_file" | tail -c 400000 | tr '\r' '\n' |
    grep -aE '^(\[rank[0-9]+\]: ?)?[A-Za-z_][A-Za-z0-9_.]*(Error|Exception|Interrupt): .' |
    grep -av 'ChildFailedError' | tail -n 1) || true
  if [[ -z $line ]]; then
    line=$(tail -c "+$((log_start + 1))" -- "$log_file" | grep -aoE 'Signal [0-9]+ \(SIG[A-Z]+\) received by PID [0-9]+' | tail -n 1) || true
    [[ $line != *SIGKILL* ]] || line+=" (killed from outside; out of memory is the usual cause)"
  fi
  printf '%s' "${line:0:500}" | iconv -c -f UTF-8 -t UTF-8 2>/dev/null || true
}

if [[ -z $signalled && $code != 0 ]]; then
  error=$(last_error)
  reason="torchrun exited with $code${error:+: $error}"
elif [[ -z $signalled && $node_rank == 0 ]]; then
  # Exit 0 is not yet success: a data set smaller than one generation batch trains nothing, and
  # ranks that never found each other train one by one into the same directory.
  # (No `grep -q`: it would end `tail` with SIGPIPE, which pipefail takes for a failure.)
  if ! appended | grep -E '"global_step/max_steps": *"[1-9]' >/dev/null && [[ -z $(new_checkpoints) ]]; then
    fail 65 "ms-swift ended without one training step; is the data set smaller than one generation batch?"
  fi
  if ((nodes * nproc_per_node > 1)); then
    doubled=$(appended | grep -F '"learning_rate"' | grep -oE '"global_step/max_steps": *"[0-9]+' | sort | uniq -d) || true
    alone=$(find "$run_dir" -mindepth 2 -maxdepth 2 -path '*/checkpoint-*/rng_state.pth' -newer "$began" 2>/dev/null) || true
    if [[ -n $doubled || -n $alone ]]; then
      fail 65 "each process trained alone: $((nodes * nproc_per_node)) trainings of world size 1 instead of one of $((nodes * nproc_per_node))"
    fi
  fi
fi
exit "$code"
