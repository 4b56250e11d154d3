#!/bin/bash
#@ MLP_WORKER_NUM=2 MLP_ROLE_INDEX=1 MLP_WORKER_0_HOST=10.0.0.4 MLP_WORKER_0_PORT=29501 MLP_WORKER_GPU=8 MLP_TASK_ID=t-1 MLP_WORKER_ALL_HOSTS=10.0.0.4,10.0.0.5
#= {}
#+ {}
# Volcengine: every variable must be there
set -u
: "${MLP_WORKER_0_HOST:?Missing MLP_WORKER_0_HOST}"
: "${MLP_WORKER_0_PORT:?Missing MLP_WORKER_0_PORT}"
: "${MLP_ROLE_INDEX:?Missing MLP_ROLE_INDEX}"
: "${MLP_WORKER_NUM:?Missing MLP_WORKER_NUM}"
torchrun --nnodes="$MLP_WORKER_NUM" --node_rank="$MLP_ROLE_INDEX" --nproc_per_node="$MLP_WORKER_GPU" \
  --master_addr="$MLP_WORKER_0_HOST" --master_port="$MLP_WORKER_0_PORT" -m swift.cli.rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 4 --per_device_train_batch_size 4
