#!/bin/bash
# style: the whole command in an array, shown and run with its log
# PRL: PRL_SEED=11
set -euo pipefail
export NPROC_PER_NODE="${PRL_NPROC_PER_NODE:-2}"
RUN_DIR="output/sim-$(date +%Y%m%d-%H%M%S)"
LOG_FILE="${RUN_DIR}/sim.log"
mkdir -p "${RUN_DIR}"
FINAL_CMD=(
  swift rlhf
  --rlhf_type grpo
  --model "Qwen/Qwen2.5-7B-Instruct"
  --dataset data/mr_train.jsonl
  --seed "${PRL_SEED:-5}"
  --num_generations 4 --per_device_train_batch_size 4
  --output_dir "${RUN_DIR}"
)
FINAL_CMD+=(--max_steps 10)
printf '%q ' "${FINAL_CMD[@]}"
echo
"${FINAL_CMD[@]}" 2>&1 | tee "${LOG_FILE}"
