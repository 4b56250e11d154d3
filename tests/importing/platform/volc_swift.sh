#!/bin/bash
#@ MLP_WORKER_NUM=2 MLP_ROLE_INDEX=1 MLP_WORKER_0_HOST=10.0.0.4 MLP_WORKER_0_PORT=29501 MLP_WORKER_GPU=8 MLP_TASK_ID=t-1 MLP_WORKER_ALL_HOSTS=10.0.0.4,10.0.0.5
#= {}
#+ {}
# Volcengine ML platform, ms-swift's variables, with defaults for one machine
export NNODES=${MLP_WORKER_NUM:-1}
export NODE_RANK=${MLP_ROLE_INDEX:-0}
export MASTER_ADDR=${MLP_WORKER_0_HOST:-127.0.0.1}
export MASTER_PORT=${MLP_WORKER_0_PORT:-29500}
export NPROC_PER_NODE=${MLP_WORKER_GPU:-8}
export NCCL_IB_DISABLE=0
swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 4 --per_device_train_batch_size 4
