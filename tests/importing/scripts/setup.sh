#!/bin/bash
# style: things to do before the training
pip install -q math_verify
ulimit -c 0
FOLDER=made
mkdir -p "$FOLDER/here"
export PATH=$PWD/bin:$PATH
export STAMP=$(cat stamp.txt)
ln -sfn data "$FOLDER/data"
NPROC_PER_NODE=2 EXTRA=$(echo a | tr a b) swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 2 --per_device_train_batch_size 2
