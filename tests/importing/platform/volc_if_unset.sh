#!/bin/bash
#@ MLP_WORKER_NUM=2 MLP_ROLE_INDEX=1 MLP_WORKER_0_HOST=10.0.0.4 MLP_WORKER_0_PORT=29501 MLP_WORKER_GPU=8 MLP_TASK_ID=t-1 MLP_WORKER_ALL_HOSTS=10.0.0.4,10.0.0.5 MLP_GPU=8
#= {}
#+ {nproc_per_node: MLP_GPU}
# Volcengine, with values for one machine where its variables are not set
if [ -z "$MLP_WORKER_NUM" ]; then
    GPUS_PER_NODE=8
    WORLD_SIZE=8
    NNODES=1
    NODE_RANK=0
else
    GPUS_PER_NODE=$MLP_GPU
    WORLD_SIZE=$(($MLP_WORKER_NUM * $MLP_GPU))
    NNODES=$MLP_WORKER_NUM
    NODE_RANK=$MLP_ROLE_INDEX
fi
if [ -z "$MLP_WORKER_0_HOST" ]; then
    MASTER_ADDR=localhost
    MASTER_PORT=27878
else
    MASTER_ADDR=$MLP_WORKER_0_HOST
    MASTER_PORT=$MLP_WORKER_0_PORT
fi
torchrun --nnodes=$NNODES --node_rank=$NODE_RANK --nproc_per_node=$GPUS_PER_NODE \
  --master_addr=$MASTER_ADDR --master_port=$MASTER_PORT -m swift.cli.rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 4 --per_device_train_batch_size 4
