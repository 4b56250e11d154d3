#!/bin/bash
#@ MA_NUM_HOSTS=2 VC_WORKER_NUM=2 VC_TASK_INDEX=1 VC_WORKER_HOSTS=job-worker-0,job-worker-1 MA_NUM_GPUS=8
#= {nproc_per_node: 8}
#+ {}
# the rank and the master by whatever is there
NNODES=${MA_NUM_HOSTS:-1}
if [ -z "${NODE_RANK}" ]; then
    if [ -n "${VC_TASK_INDEX}" ]; then
        NODE_RANK=${VC_TASK_INDEX}
    elif [ -n "${RANK}" ] && [ -z "${LOCAL_RANK}" ]; then
        NODE_RANK=${RANK}
    else
        NODE_RANK=0
    fi
fi
if [ -z "${MASTER_ADDR}" ]; then
    if [ -n "${VC_WORKER_HOSTS}" ]; then
        MASTER_ADDR=$(echo "${VC_WORKER_HOSTS}" | cut -d',' -f1)
    else
        MASTER_ADDR="127.0.0.1"
    fi
fi
MASTER_PORT=${MASTER_PORT:-29505}
torchrun --nproc_per_node 8 --nnodes $NNODES --node_rank $NODE_RANK \
  --master_addr $MASTER_ADDR --master_port $MASTER_PORT -m swift.cli.rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 4 --per_device_train_batch_size 4
