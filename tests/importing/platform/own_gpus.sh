#!/bin/bash
#@ WORLD_SIZE=2 RANK=1 MASTER_ADDR=dlc1-master-0 MASTER_PORT=23456 MY_GPUS=8
#= {}
#+ {nproc_per_node: MY_GPUS}
# a platform of the table, and a variable of one's own for the GPUs
torchrun --nnodes $WORLD_SIZE --node_rank $RANK --nproc_per_node $MY_GPUS --master_addr $MASTER_ADDR --master_port $MASTER_PORT \
  -m swift.cli.rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 4 --per_device_train_batch_size 4
