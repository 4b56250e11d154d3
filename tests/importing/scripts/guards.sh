#!/bin/bash
# style: checks that stop the script, a function nobody calls
set -euo pipefail
usage() {
  echo "usage: $0"
  exit 2
}
PRL_NUM_GENERATIONS=${PRL_NUM_GENERATIONS:-2}
# PRL: PRL_NUM_GENERATIONS=4
if [[ ! -f data/mr_train.jsonl ]]; then
  echo "no data"
  exit 1
fi
if [ $((8 % PRL_NUM_GENERATIONS)) -ne 0 ]; then
  echo "num_generations $PRL_NUM_GENERATIONS"; exit 1
fi
[ -d data ] || exit 1
command -v swift >/dev/null 2>&1 || { echo "no swift"; exit 1; }
NPROC_PER_NODE=2 swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations ${PRL_NUM_GENERATIONS} --per_device_train_batch_size 4 "$@"
