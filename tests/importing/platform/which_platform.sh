#!/bin/bash
#@ MLP_WORKER_NUM=2 MLP_ROLE_INDEX=1 MLP_WORKER_0_HOST=10.0.0.4 MLP_WORKER_0_PORT=29501 MLP_WORKER_GPU=8 MLP_TASK_ID=t-1 MLP_WORKER_ALL_HOSTS=10.0.0.4,10.0.0.5
#= {nproc_per_node: 8}
#+ {}
# one script for three platforms and for a machine without one
if [ -n "$MLP_WORKER_NUM" ]; then
  NNODES=$MLP_WORKER_NUM NODE_RANK=$MLP_ROLE_INDEX MASTER_ADDR=$MLP_WORKER_0_HOST MASTER_PORT=$MLP_WORKER_0_PORT
elif [ -n "$VC_WORKER_HOSTS" ]; then
  NNODES=$MA_NUM_HOSTS NODE_RANK=$VC_TASK_INDEX MASTER_ADDR=${VC_WORKER_HOSTS%%,*} MASTER_PORT=29500
elif [ -n "$WORLD_SIZE" ]; then
  NNODES=$WORLD_SIZE NODE_RANK=$RANK
else
  NNODES=1 NODE_RANK=0 MASTER_ADDR=127.0.0.1 MASTER_PORT=29500
fi
torchrun --nnodes=$NNODES --node_rank=$NODE_RANK --nproc_per_node=8 --master_addr=$MASTER_ADDR --master_port=$MASTER_PORT \
  -m swift.cli.rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 4 --per_device_train_batch_size 4
