#!/bin/bash
#@ PET_NNODES=2 PET_NODE_RANK=1 PET_MASTER_ADDR=job-node-0-0.job PET_MASTER_PORT=29400 PET_NPROC_PER_NODE=8
#= {}
#+ {}
# Kubeflow TrainJob
torchrun --nnodes=${PET_NNODES} --nproc_per_node=${PET_NPROC_PER_NODE} --node_rank=${PET_NODE_RANK} \
  --master_addr=${PET_MASTER_ADDR} --master_port=${PET_MASTER_PORT} -m swift.cli.rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 4 --per_device_train_batch_size 4
