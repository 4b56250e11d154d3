#!/bin/bash
# style: checks that files are there, one by one and in a loop
set -e
MODEL=./models/tiny
DATA=data/mr_train.jsonl
if [ ! -d "$MODEL" ]; then echo "no model $MODEL"; exit 1; fi
[[ -f "$DATA" ]] || { echo "no data"; exit 1; }
for f in "$MODEL" "$DATA"; do
  if [ ! -e "$f" ]; then echo "missing $f"; exit 1; fi
done
NPROC_PER_NODE=2 swift rlhf --rlhf_type grpo --model $MODEL --model_type qwen2 --template qwen2_5 --dataset $DATA --num_generations 2 --per_device_train_batch_size 2
