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
