#!/bin/bash
#@ MA_NUM_HOSTS=2 VC_WORKER_NUM=2 VC_TASK_INDEX=1 VC_WORKER_HOSTS=job-worker-0,job-worker-1 MA_NUM_GPUS=8
#= {nproc_per_node: 8}
#+ {}
# Huawei ModelArts, and one machine
# read modelarts env
MASTER_ADDR="${VC_WORKER_HOSTS%%,*}"
NODE_RANK="$VC_TASK_INDEX"
NNODES="$MA_NUM_HOSTS"
# if not in modelarts
MASTER_ADDR=${MASTER_ADDR:="localhost"}
NODE_RANK=${NODE_RANK:="0"}
NNODES=${NNODES:="1"}
GPUS_PER_NODE=8
MASTER_PORT=6000
WORLD_SIZE=$((GPUS_PER_NODE*NNODES))
echo WORLD_SIZE=${WORLD_SIZE}
torchrun --nproc_per_node $GPUS_PER_NODE --nnodes $NNODES --node_rank $NODE_RANK \
  --master_addr $MASTER_ADDR --master_port $MASTER_PORT -m swift.cli.rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 4 --per_device_train_batch_size 4
