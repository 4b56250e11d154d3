#!/bin/bash
#@ MY_NODES=2 MY_RANK=1 MY_MASTER=node0 MY_PORT=2345 MY_GPUS=8
#= {}
#+ {nodes: MY_NODES, node_rank: MY_RANK, nproc_per_node: MY_GPUS, master_addr: MY_MASTER, master_port: MY_PORT}
# a platform that the table does not know
torchrun --nnodes $MY_NODES --node_rank $MY_RANK --nproc_per_node $MY_GPUS --master_addr $MY_MASTER --master_port $MY_PORT \
  -m swift.cli.rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 4 --per_device_train_batch_size 4
