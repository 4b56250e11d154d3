#!/bin/bash
#@ WORLD_SIZE=2 RANK=1 MASTER_ADDR=dlc1-master-0 MASTER_PORT=23456 GPU_NUM_PER_NODE=8 NODE_LIST=10.0.0.4:8,10.0.0.5:8 INDEX=1
#= {}
#+ {}
# Tencent TI-ONE
torchrun --nnodes $WORLD_SIZE --node_rank $RANK --nproc_per_node $GPU_NUM_PER_NODE \
  --master_addr $MASTER_ADDR --master_port $MASTER_PORT -m swift.cli.rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 4 --per_device_train_batch_size 4
