#!/bin/bash
#@ NNODES=2 NODE_RANK=1 MASTER_ADDR=node0 MASTER_PORT=6001
#= {}
#+ {}
# the GPUs of the node are counted, and the options of torchrun are one text of other texts
GPUS_PER_NODE=$(python -c 'import torch; print(torch.cuda.device_count())')
NNODES=${NNODES:-1}
NODE_RANK=${NODE_RANK:-0}
MASTER_ADDR=${MASTER_ADDR:-localhost}
MASTER_PORT=${MASTER_PORT:-6001}
RENDEZVOUS="--master_addr $MASTER_ADDR --master_port $MASTER_PORT"
DISTRIBUTED_ARGS="--nproc_per_node $GPUS_PER_NODE --nnodes $NNODES --node_rank=$NODE_RANK $RENDEZVOUS"
torchrun ${DISTRIBUTED_ARGS} -m swift.cli.rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 4 --per_device_train_batch_size 4
