#!/bin/bash
# style: python -m swift.cli.rlhf, one process
CUDA_VISIBLE_DEVICES=3 python -u -m swift.cli.rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct \
  --dataset data/mr_train.jsonl --num_generations 4 --per_device_train_batch_size 4
