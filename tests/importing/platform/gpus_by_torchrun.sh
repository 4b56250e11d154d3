#!/bin/bash
#@ WORLD_SIZE=2 RANK=1 MASTER_ADDR=node0 MASTER_PORT=23456
#= {}
#+ {}
# torchrun counts the GPUs
torchrun --nnodes=$WORLD_SIZE --node_rank=$RANK --nproc_per_node=gpu --master_addr=$MASTER_ADDR --master_port=$MASTER_PORT \
  -m swift.cli.rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 4 --per_device_train_batch_size 4
