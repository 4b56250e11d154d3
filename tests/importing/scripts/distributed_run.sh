#!/bin/bash
# style: python -m torch.distributed.run, and ms-swift by its file
export OMP_NUM_THREADS=4
PYTHONPATH=. python3 -m torch.distributed.run --nproc_per_node=2 --max_restarts=0 \
  swift/cli/rlhf.py --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl \
  --num_generations 2 --per_device_train_batch_size 2
