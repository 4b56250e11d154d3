#!/bin/bash
#@ SKYPILOT_NUM_NODES=2 SKYPILOT_NODE_RANK=1 'SKYPILOT_NODE_IPS=10.0.0.4\n10.0.0.5' SKYPILOT_NUM_GPUS_PER_NODE=8
#= {}
#+ {}
# SkyPilot
MASTER_ADDR=$(echo "$SKYPILOT_NODE_IPS" | head -n1)
torchrun --nnodes=$SKYPILOT_NUM_NODES --nproc_per_node=$SKYPILOT_NUM_GPUS_PER_NODE --node_rank=$SKYPILOT_NODE_RANK \
  --master_addr=$MASTER_ADDR --master_port=8008 -m swift.cli.rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 4 --per_device_train_batch_size 4
