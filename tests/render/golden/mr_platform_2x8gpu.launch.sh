#!/usr/bin/env bash
# mr-platform-2x8gpu: what each node of this job runs (backend: platform). Made by prl-submit VERSION from jobs/mr_platform_2x8gpu.yaml
# `bash launch.sh` by hand does the same thing. Edit the spec, not this file.
# The functions prl_… are in launch.lib.sh, beside this file: lock, log, signals, checkpoints, restarts, exit.json.

# --- values ---------------------------------------------------------------------------------------
prl_run_dir=/home/me/prl/output/vNN-YYYYMMDD-HHMMSS
prl_workdir=/home/me/prl
prl_token=0123456789abcdef # marks the processes of this run
prl_on_platform=1 # a platform starts this script on each node; its variables say which node this is
prl_platform_names=('' '' '' '' '' '') # the spec's names of such variables
prl_nodes=2 # of the spec; 0 if the platform decides
prl_nproc_per_node=8 # processes on each node, one for each GPU; 0 if the platform decides
prl_visible='' # the GPUs that the spec chooses
prl_wait=1800 # seconds that nodes wait for each other
prl_silence=180 # seconds without a sign of life until `status` says LOST
prl_needs_gpus=1
prl_time_limit=43200 # seconds; 0: launch.sh itself has no time limit
prl_time_limit_words=12:00:00
prl_grace=120 # seconds to save and end after SIGTERM, until SIGKILL
prl_max_restarts=3 # how often a scheduler may start this job again
prl_resumed=0 # how often `prl-submit resume` has started it again
prl_leaves_children=1 # the scheduler may kill launch.sh and leave its processes

# --- ms-swift's arguments -------------------------------------------------------------------------
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

# --- the environment ------------------------------------------------------------------------------
# Between prl_lend_shell and prl_take_back other people's code runs; then launch.sh restores its own shell options.
prl_find_conda prl_clean ''
if [[ -n $prl_conda ]]; then
  prl_lend_shell
  source "$prl_conda/etc/profile.d/conda.sh" || true
  conda activate prl_clean || prl_no_such_conda_environment
  prl_take_back
fi
prl_require_conda
export PYTHONUTF8=1 # paths and logs are UTF-8, whatever the node's locale
export WANDB_MODE=offline
prl_end_environment

# --- after a restart: go on from the last complete checkpoint ---------------------------------------
prl_continue

# --- preflight: stop now for what would stop the training minutes later -------------------------------------------
prl_need dataset /home/me/prl/jobs/data/mr_train.jsonl swift.dataset
prl_need dataset /home/me/prl/jobs/data/mr_val.jsonl swift.val_dataset
prl_need plugin /home/me/prl/jobs/plugins/prl_rewards.py swift.external_plugins
prl_preflight

# --- the training ---------------------------------------------------------------------------------
prl_before_training
prl_run torchrun "${prl_rendezvous[@]}" -m swift.cli.rlhf "${prl_swift_args[@]}"
prl_after_training
