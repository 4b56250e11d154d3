#!/bin/bash
# style: a block of PRL_* variables with defaults, printed, then torchrun
# PRL: PRL_NUM_GENERATIONS=8 PRL_SEED=7 PRL_REWARD_FUNCS=prl_format PRL_NPROC_PER_NODE=8 PRL_TEMPERATURE=1.0
set -e  # stop at errors
set -u

export DATASET=${DATASET:-mr}
export NUMBER_OF_SAMPLES=${NUMBER_OF_SAMPLES:-100}
PRL_CUDA_VISIBLE_DEVICES=${PRL_CUDA_VISIBLE_DEVICES:-0,1,2,3}
PRL_NPROC_PER_NODE=${PRL_NPROC_PER_NODE:-4}
PRL_MASTER_PORT=${PRL_MASTER_PORT:-29500}
PRL_NUM_GENERATIONS=${PRL_NUM_GENERATIONS:-2}
PRL_NUM_INFER_WORKERS=${PRL_NUM_INFER_WORKERS:-${PRL_NPROC_PER_NODE}}
PRL_REWARD_FUNCS=${PRL_REWARD_FUNCS:-"prl_format prl_accuracy"}
PRL_TEMPERATURE=${PRL_TEMPERATURE:-0.9}
PRL_SEED=${PRL_SEED:-5}

echo "=========================================================="
echo "GPUs:       ${PRL_CUDA_VISIBLE_DEVICES}, processes ${PRL_NPROC_PER_NODE}"
echo "started at: $(date)"
sleep 0

CUDA_VISIBLE_DEVICES=${PRL_CUDA_VISIBLE_DEVICES} \
torchrun \
    --nproc_per_node=${PRL_NPROC_PER_NODE} \
    --master_port=${PRL_MASTER_PORT} \
    -m swift.cli.rlhf \
    --rlhf_type grpo \
    --model Qwen/Qwen2.5-7B-Instruct \
    --model_type qwen2 --template qwen2_5 \
    --dataset data/${DATASET}_train.jsonl  \
    --val_dataset data/${DATASET}_val.jsonl \
    --external_plugins plugins/prl_rewards.py \
    --reward_funcs $PRL_REWARD_FUNCS \
    --gradient_checkpointing_kwargs '{"use_reentrant": false}' \
    --use_lmdeploy false \
    --use_vllm true \
    --vllm_gpu_memory_utilization 0.40 \
    --train_type lora \
    --seed ${PRL_SEED} \
    --per_device_train_batch_size 4 \
    --per_device_eval_batch_size 4 \
    --output_dir output \
    --dataloader_num_workers 0 \
    --num_generations ${PRL_NUM_GENERATIONS} \
    --temperature ${PRL_TEMPERATURE} \
    --num_infer_workers ${PRL_NUM_INFER_WORKERS}

echo ""
echo "done: ${DATASET}"
