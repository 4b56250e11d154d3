#!/bin/bash
# Started by others: its settings come from the environment, words from the command line.
set -eu
MODEL=${MODEL:-Qwen/Qwen2.5-3B-Instruct}
GROUP=${1:-4}
[ $# -gt 0 ] && shift
swift rlhf --rlhf_type grpo --model "$MODEL" --dataset data/mr_train.jsonl --num_generations "$GROUP" \
  --per_device_train_batch_size ${BATCH:-4} --seed ${UNEXPORTED:-7} "$@"
