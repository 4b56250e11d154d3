#!/bin/bash
#@ MLP_WORKER_NUM=2 MLP_ROLE_INDEX=1 MLP_WORKER_0_HOST=10.0.0.4 MLP_WORKER_0_PORT=29501 MLP_WORKER_GPU=8 MLP_TASK_ID=t-1 MLP_WORKER_ALL_HOSTS=10.0.0.4,10.0.0.5
#= {nproc_per_node: 8}
#+ {}
# Volcengine, renamed to the names of PAI-DLC
export RANK=$MLP_ROLE_INDEX
export MASTER_ADDR=$MLP_WORKER_0_HOST
export MASTER_PORT=$MLP_WORKER_0_PORT
export WORLD_SIZE=$MLP_WORKER_NUM
RANK=${RANK:=0}
MASTER_ADDR=${MASTER_ADDR:='127.0.0.1'}
MASTER_PORT=${MASTER_PORT:='23456'}
echo "RANK: ${RANK}"
python -m torch.distributed.run --nnodes=${WORLD_SIZE} --node_rank=$RANK --nproc_per_node=8 \
    --master_addr=$MASTER_ADDR --master_port=$MASTER_PORT -m swift.cli.rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 4 --per_device_train_batch_size 4
