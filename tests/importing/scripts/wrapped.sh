#!/bin/bash
# style: timeout, numactl, nice and their like
export NPROC_PER_NODE=2
time -p nohup timeout --signal=TERM -k 10 90m nice -n 5 numactl --cpunodebind=0 -m 0 stdbuf -oL -eL setsid -w env -u NOSUCH OMP_NUM_THREADS=4 \
  swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 2 --per_device_train_batch_size 2
