#!/bin/bash
#@ MA_NUM_HOSTS=2 VC_WORKER_NUM=2 VC_TASK_INDEX=1 VC_WORKER_HOSTS=job-worker-0,job-worker-1 MA_NUM_GPUS=8
#= {nproc_per_node: 8}
#+ {}
# Huawei ModelArts: tr and head; the rank without a variable is 0
MASTER_ADDR=$(echo "$VC_WORKER_HOSTS" | tr ',' '\n' | head -n 1)
export MASTER_ADDR MASTER_PORT=29500
export NNODES=$MA_NUM_HOSTS NODE_RANK=${VC_TASK_INDEX:-0} NPROC_PER_NODE=8
swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 4 --per_device_train_batch_size 4
