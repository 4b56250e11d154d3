#!/bin/bash
# style: defaults by : "${X:=…}"
# PRL: PRL_BETA=0.1 PRL_MAX_STEPS=3
: "${PRL_BETA:=0.04}"
: ${PRL_MAX_STEPS:=200}
: "${MODEL_ROOT:=models}" "${MODEL_NAME:=tiny}"
swift rlhf --rlhf_type grpo --model "./$MODEL_ROOT/$MODEL_NAME" --model_type qwen2 --template qwen2_5 \
  --dataset data/mr_train.jsonl --num_generations 4 --per_device_train_batch_size 4 \
  --beta "$PRL_BETA" --max_steps $PRL_MAX_STEPS
