#!/bin/bash
# style: optional words behind variables whose default is empty, passed last
set -euo pipefail
CKPT="${CKPT:-}"
MORE=()
if [[ -n "$CKPT" ]]; then MORE=(--resume_from_checkpoint "$CKPT"); fi
USE_VLLM=${USE_VLLM:-true}
[[ "$USE_VLLM" == true ]] && MORE+=(--use_vllm true --vllm_mode colocate) || MORE+=(--use_vllm false)
NPROC_PER_NODE=2 swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl \
  --num_generations 2 --per_device_train_batch_size 2 "${MORE[@]}"
