#!/bin/bash
#@ MA_NUM_HOSTS=2 VC_WORKER_NUM=2 VC_TASK_INDEX=1 VC_WORKER_HOSTS=job-worker-0,job-worker-1 MA_NUM_GPUS=8
#= {}
#+ {}
# Huawei ModelArts: the hosts are read into an array
IFS=',' read -ra HOSTS <<< "$VC_WORKER_HOSTS"
torchrun --nnodes=${VC_WORKER_NUM} --node_rank=${VC_TASK_INDEX} --nproc_per_node=${MA_NUM_GPUS} \
  --master_addr=${HOSTS[0]} --master_port=29500 -m swift.cli.rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 4 --per_device_train_batch_size 4
