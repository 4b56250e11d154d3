#!/usr/bin/env bash
# {{ name|comment }}: what each node of this job runs (backend: {{ backend|comment }}). Made by prl-submit {{ version|comment }} from {{ spec_file|comment }}
# `bash launch.sh` by hand does the same thing. Edit the spec, not this file.
# The functions prl_… are in launch.lib.sh, beside this file: lock, log, signals, checkpoints, restarts, exit.json.

# --- values ---------------------------------------------------------------------------------------
prl_run_dir={{ run_dir|bash }}
prl_workdir={{ workdir|bash }}
prl_token={{ token|bash }} # marks the processes of this run
{% if on_platform %}
prl_on_platform=1 # a platform starts this script on each node; its variables say which node this is
prl_platform_names=({{ platform_names|bash_words }}) # the spec's names of such variables
prl_nodes={{ nodes }} # of the spec; 0 if the platform decides
prl_nproc_per_node={{ nproc }} # processes on each node{{ (", one for each GPU" if gpu else "")|verbatim }}; 0 if the platform decides
prl_visible={{ (visible or "")|bash }} # the GPUs that the spec chooses
prl_wait={{ wait }} # seconds that nodes wait for each other
prl_silence={{ silence }} # seconds without a sign of life until `status` says LOST
{% else %}
prl_nodes={{ nodes }}
prl_node_rank={{ ("${NODE_RANK:-0}" if nodes > 1 else "0")|verbatim }}
prl_nproc_per_node={{ nproc }} # processes on each node{{ (", one for each GPU" if gpu else "")|verbatim }}
{% endif %}
prl_needs_gpus={{ gpu }}
prl_time_limit={{ time_limit }} # seconds; 0: launch.sh itself has no time limit
prl_time_limit_words={{ time_limit_words|bash }}
prl_grace={{ grace }} # seconds to save and end after SIGTERM, until SIGKILL
prl_max_restarts={{ max_restarts }} # how often a scheduler may start this job again
prl_resumed={{ restarts }} # how often `prl-submit resume` has started it again
{% if in_pods %}
prl_in_pods=1 # each node is a pod of Kubernetes
{% if kueue %}
prl_kueue=1 # Kueue may suspend the job, and start it again
{% endif %}
{% endif %}
{% if leaves_children %}
prl_leaves_children=1 # the scheduler may kill launch.sh and leave its processes
{% endif %}

# --- ms-swift's arguments -------------------------------------------------------------------------
prl_swift_args=(
{% for group in arguments %}
  {{ group|bash_words }}
{% endfor %}
)

# --- begin: take the run directory, open the log, hear signals ------------------------------------
# launch.lib.sh lies beside this file, and in the run directory, if this file was copied or linked.
prl_library=${BASH_SOURCE[0]%"${BASH_SOURCE[0]##*/}"}
prl_library=${prl_library:-./}launch.lib.sh
[[ -f $prl_library ]] || prl_library=$prl_run_dir/launch.lib.sh
POSIXLY_CORRECT=1 # bash then calls no inherited function that has the next command's name; launch.lib.sh ends this mode
# shellcheck source=launch.lib.sh
[[ ! -f $prl_library ]] || . "$prl_library" || exit 78
[[ $prl_library == whole ]] || { echo "prl-submit: $prl_library is missing or damaged" >&2 && exit 78; }
prl_begin
{% if batch %}
# Only this node knows how many processes there are, so the batches are checked here.
prl_check_batch {{ batch|bash_words }}
{% endif %}

# --- the environment ------------------------------------------------------------------------------
# Between prl_lend_shell and prl_take_back other people's code runs; then launch.sh restores its own shell options.
{{ environment|verbatim }}
# --- after a restart: go on from the last complete checkpoint ---------------------------------------
prl_continue

# --- preflight: stop now for what would stop the training minutes later -------------------------------------------
{% for kind, key, path in paths %}
prl_need {{ kind|bash }} {{ path|bash }} {{ key|bash }}
{% endfor %}
prl_preflight

# --- the training ---------------------------------------------------------------------------------
prl_before_training
{% if on_platform %}
prl_run torchrun "${prl_rendezvous[@]}" -m {{ entry_point|bash }} "${prl_swift_args[@]}"
{% elif nodes > 1 %}
prl_run torchrun --nnodes="$prl_nodes" --nproc_per_node="$prl_nproc_per_node" --node_rank="$prl_node_rank" \
  --master_addr="$MASTER_ADDR" --master_port="$MASTER_PORT" -m {{ entry_point|bash }} "${prl_swift_args[@]}"
{% else %}
# Without --local-addr torchrun would look up its own host name, and wait for minutes if it does not resolve.
prl_run torchrun --nnodes=1 --standalone --local-addr=localhost --nproc_per_node="$prl_nproc_per_node" \
  -m {{ entry_point|bash }} "${prl_swift_args[@]}"
{% endif %}
prl_after_training
