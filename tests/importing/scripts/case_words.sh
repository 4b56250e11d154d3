#!/bin/bash
# style: case over known words
SIZE=${SIZE:-7b}
case "$SIZE" in
  3b | 3B) MODEL=Qwen/Qwen2.5-3B-Instruct BATCH=8 ;;
  7*) MODEL=Qwen/Qwen2.5-7B-Instruct; BATCH=4 ;;
  *) echo "unknown: $SIZE" >&2; exit 1 ;;
esac
NPROC_PER_NODE=2 swift rlhf --rlhf_type grpo --model $MODEL --dataset data/mr_train.jsonl --num_generations 2 --per_device_train_batch_size $BATCH
