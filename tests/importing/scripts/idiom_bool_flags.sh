#!/bin/bash
# style: switches as the commands true and false
USE_LORA=true
USE_VLLM=false
if $USE_LORA; then T="--tuner_type lora --lora_rank 8"; else T="--tuner_type full"; fi
if [ "$USE_VLLM" = true ] ; then V="--use_vllm true"; fi
NPROC_PER_NODE=2 swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 2 --per_device_train_batch_size 2 $T $V
