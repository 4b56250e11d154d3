#!/bin/bash
#@ ARNOLD_WORKER_NUM=2 ARNOLD_ID=1 ARNOLD_WORKER_0_HOST=10.0.0.4 ARNOLD_WORKER_0_PORT=9000,9001 ARNOLD_WORKER_GPU=8
#= {}
#+ {}
# Arnold, as in public scripts
port=$(echo "$ARNOLD_WORKER_0_PORT" | cut -d "," -f 1)
torchrun --nnodes "$ARNOLD_WORKER_NUM" --node_rank "$ARNOLD_ID" --nproc_per_node "$ARNOLD_WORKER_GPU" \
  --master_addr "$ARNOLD_WORKER_0_HOST" --master_port "$port" -m swift.cli.rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 4 --per_device_train_batch_size 4
