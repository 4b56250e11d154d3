#!/bin/bash
#@ WORLD_SIZE=2 RANK=1 MASTER_ADDR=dlc1-master-0 MASTER_PORT=23456 NPROC_PER_NODE=8
#= {}
#+ {}
# PAI-DLC: the options of torchrun in one text, as in Qwen's and many other public scripts
DISTRIBUTED_ARGS="
    --nproc_per_node ${NPROC_PER_NODE:-8} \
    --nnodes ${WORLD_SIZE:-1} \
    --node_rank ${RANK:-0} \
    --master_addr ${MASTER_ADDR:-127.0.0.1} \
    --master_port ${MASTER_PORT:-29500}
"
torchrun $DISTRIBUTED_ARGS -m swift.cli.rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 4 --per_device_train_batch_size 4
