#!/bin/bash
#@ WORLD_SIZE=2 RANK=1 MASTER_ADDR=dlc1-master-0 MASTER_PORT=23456
#= {nproc_per_node: 8}
#+ {}
# one node by torchrun's --standalone, several by the platform's variables
if [[ "${WORLD_SIZE:-1}" -gt 1 ]]; then
  LAUNCH=(torchrun --nnodes=$WORLD_SIZE --node_rank=$RANK --nproc_per_node=8 --master_addr=$MASTER_ADDR --master_port=$MASTER_PORT)
else
  LAUNCH=(torchrun --standalone --nnodes=1 --nproc_per_node=8)
fi
"${LAUNCH[@]}" -m swift.cli.rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 4 --per_device_train_batch_size 4
