#!/usr/bin/env bash
# style: PRL_* defaults where they are used
# PRL: PRL_NUM_GENERATIONS=2 PRL_NPROC_PER_NODE=2 PRL_LEARNING_RATE=3e-6 PRL_MODEL=org/other PRL_CUDA_VISIBLE_DEVICES=6,7
set -euo pipefail
CUDA_VISIBLE_DEVICES=${PRL_CUDA_VISIBLE_DEVICES:-0,1,2,3} \
NPROC_PER_NODE=${PRL_NPROC_PER_NODE:-4} \
swift rlhf \
  --rlhf_type grpo \
  --model "${PRL_MODEL:-Qwen/Qwen2.5-7B-Instruct}" \
  --dataset data/mr_train.jsonl \
  --val_dataset data/mr_val.jsonl \
  --external_plugins plugins/prl_rewards.py \
  --reward_funcs ${PRL_REWARD_FUNCS:-prl_format prl_accuracy} \
  --per_device_train_batch_size ${PRL_PER_DEVICE_TRAIN_BATCH_SIZE:-4} \
  --per_device_eval_batch_size 4 \
  --num_generations ${PRL_NUM_GENERATIONS:-4} \
  --learning_rate "${PRL_LEARNING_RATE:-1e-6}" \
  --dataloader_num_workers ${PRL_DATALOADER_NUM_WORKERS:-0}
