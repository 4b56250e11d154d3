#!/bin/bash
# style: a checkpoint that may be resumed, auto or by name
set -euo pipefail
RESUME="${RESUME:-}"
OUT=output/a
ARGS=()
if [[ -n "${RESUME}" ]]; then
  if [[ "${RESUME}" == "auto" ]]; then
    LATEST="$(ls -1dt "${OUT}"/checkpoint-* 2>/dev/null | head -n 1 || true)"
    if [[ -z "${LATEST}" ]]; then echo "none" >&2; else ARGS=(--resume_from_checkpoint "${LATEST}"); fi
  else
    ARGS=(--resume_from_checkpoint "${RESUME}")
  fi
fi
export NPROC_PER_NODE=2
swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 2 --per_device_train_batch_size 2 "${ARGS[@]}"
