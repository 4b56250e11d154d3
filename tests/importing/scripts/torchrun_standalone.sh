#!/bin/bash
# style: torchrun with its own options apart
# PRL: PRL_NPROC_PER_NODE=1
torchrun --standalone --nproc-per-node ${PRL_NPROC_PER_NODE:-2} --nnodes 1 --node_rank 0 --rdzv_backend c10d -m swift.cli.rlhf \
  --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl \
  --num_generations 2 --per_device_train_batch_size 2
