#!/bin/bash
# style: names like those of credentials, and none is one
export MAX_TOKENS=2048
export OPENAI_API_KEY=EMPTY
export TOKENIZER_KEY_FIELD=text
export NUM_TOKEN=5
TOKEN=3
NPROC_PER_NODE=2 swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 2 --per_device_train_batch_size 2 --seed $TOKEN
