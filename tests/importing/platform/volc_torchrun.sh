#!/bin/bash
#@ MLP_WORKER_NUM=2 MLP_ROLE_INDEX=1 MLP_WORKER_0_HOST=10.0.0.4 MLP_WORKER_0_PORT=29501 MLP_WORKER_GPU=8 MLP_TASK_ID=t-1 MLP_WORKER_ALL_HOSTS=10.0.0.4,10.0.0.5
#= {}
#+ {}
# Volcengine ML platform, as its documentation has it
torchrun --nproc_per_node $MLP_WORKER_GPU --master_addr $MLP_WORKER_0_HOST --node_rank $MLP_ROLE_INDEX \
  --master_port $MLP_WORKER_0_PORT --nnodes $MLP_WORKER_NUM -m swift.cli.rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 4 --per_device_train_batch_size 4
