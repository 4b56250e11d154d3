#!/bin/bash
# style: a copy of the script in an output folder with the time
TS=$(date +%Y%m%d_%H%M%S)
OUT=output/grpo_$TS
mkdir -p "$OUT"
cp "$0" "$OUT/"
NPROC_PER_NODE=2 swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 2 --per_device_train_batch_size 2 --output_dir "$OUT" > "$OUT/train.log" 2>&1
