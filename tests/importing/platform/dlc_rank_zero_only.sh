#!/bin/bash
#@ WORLD_SIZE=2 RANK=1 MASTER_ADDR=dlc1-master-0 MASTER_PORT=23456
#= {nproc_per_node: 8}
#+ {}
# PAI-DLC: node 0 alone prepares something; checks before it
NNODES=$WORLD_SIZE
NODE_RANK=$RANK
GPUS_PER_NODE=${GPUS_PER_NODE:-8}
if [ -z "$MASTER_ADDR" ]; then
  echo "MASTER_ADDR is not set" >&2
  exit 1
fi
: "${MASTER_PORT:?no MASTER_PORT}"
if [ "$RANK" = 0 ]; then
  mkdir -p prepared
fi
TOTAL=$((NNODES * GPUS_PER_NODE))
echo "$TOTAL GPUs"
DISTRIBUTED_ARGS="--nproc_per_node $GPUS_PER_NODE --nnodes $NNODES --node_rank $NODE_RANK --master_addr $MASTER_ADDR --master_port $MASTER_PORT"
torchrun --nproc_per_node $GPUS_PER_NODE --nnodes $NNODES --node_rank $NODE_RANK --master_addr $MASTER_ADDR --master_port $MASTER_PORT \
  -m swift.cli.rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 4 --per_device_train_batch_size 4
