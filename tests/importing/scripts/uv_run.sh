#!/bin/bash
# style: uv run
uv run --frozen --extra train torchrun --standalone --nproc_per_node 2 -m swift.cli.rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct \
  --dataset data/mr_train.jsonl --num_generations 2 --per_device_train_batch_size 2
