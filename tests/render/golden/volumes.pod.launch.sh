#!/usr/bin/env bash
# mr-cpu: what each node of this job runs (backend: kubernetes). Made by prl-submit VERSION from jobs/mr_cpu.yaml
# `bash launch.sh` by hand does the same thing. Edit the spec, not this file.
# The functions prl_… are in launch.lib.sh, beside this file: lock, log, signals, checkpoints, restarts, exit.json.

# --- values ---------------------------------------------------------------------------------------
prl_run_dir='/数据/输出/vNN-YYYYMMDD-HHMMSS'
prl_workdir=/home/me/prl
prl_token=0123456789abcdef # marks the processes of this run
prl_nodes=1
prl_node_rank=0
prl_nproc_per_node=2 # processes on each node
prl_needs_gpus=0
prl_time_limit=1770 # seconds; 0: launch.sh itself has no time limit
prl_time_limit_words=00:30:00
prl_grace=30 # seconds to save and end after SIGTERM, until SIGKILL
prl_max_restarts=0 # how often a scheduler may start this job again
prl_resumed=0 # how often `prl-submit resume` has started it again
prl_in_pods=1 # each node is a pod of Kubernetes

# --- ms-swift's arguments -------------------------------------------------------------------------
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
  --output_dir '/数据/输出/vNN-YYYYMMDD-HHMMSS'
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
prl_find_venv .venv # a path that is not absolute begins in prl_workdir
prl_lend_shell
source "$prl_venv/bin/activate" || true
prl_take_back
prl_require_venv
export PYTHONUTF8=1 # paths and logs are UTF-8, whatever the node's locale
export CUDA_VISIBLE_DEVICES=''
export WANDB_MODE=offline
export HF_HUB_OFFLINE=1
export TRANSFORMERS_OFFLINE=1
export HF_DATASETS_OFFLINE=1
export TOKENIZERS_PARALLELISM=false
export OMP_NUM_THREADS=1

prl_lend_shell 'running environment.setup line 1: python jobs/make_tiny_model.py models/tiny-qwen2'
python jobs/make_tiny_model.py models/tiny-qwen2

prl_take_back
prl_end_environment

# --- after a restart: go on from the last complete checkpoint ---------------------------------------
prl_continue

# --- preflight: stop now for what would stop the training minutes later -------------------------------------------
prl_need model /home/me/prl/models/tiny-qwen2 swift.model
prl_need dataset /home/me/prl/jobs/data/mr_train.jsonl swift.dataset
prl_need dataset /home/me/prl/jobs/data/mr_val.jsonl swift.val_dataset
prl_need plugin /home/me/prl/jobs/plugins/prl_rewards.py swift.external_plugins
prl_preflight

# --- the training ---------------------------------------------------------------------------------
prl_before_training
# Without --local-addr torchrun would look up its own host name, and wait for minutes if it does not resolve.
prl_run torchrun --nnodes=1 --standalone --local-addr=localhost --nproc_per_node="$prl_nproc_per_node" \
  -m swift.cli.rlhf "${prl_swift_args[@]}"
prl_after_training
