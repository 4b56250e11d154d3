#!/bin/bash
#@ WORLD_SIZE=2 RANK=1 MASTER_ADDR=dlc1-master-0 MASTER_PORT=23456 AIHC_JOB_NAME=pytorchjob-1
#= {nproc_per_node: 8}
#+ {}
# Baidu AIHC, a rendezvous in place of a master
torchrun --nnodes=$WORLD_SIZE --node_rank=$RANK --nproc_per_node=8 --rdzv_id=$AIHC_JOB_NAME \
  --rdzv_backend=c10d --rdzv_endpoint=$MASTER_ADDR:$MASTER_PORT -m swift.cli.rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 4 --per_device_train_batch_size 4
