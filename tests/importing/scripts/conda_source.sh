#!/bin/bash
# style: conda by its script, in the home folder
source ~/.bashrc
CONDA_BASE="$HOME/miniconda3"
source "${CONDA_BASE}/etc/profile.d/conda.sh"
conda activate prl_clean
export HF_HOME=~/hf TRANSFORMERS_CACHE=$HOME/hf/transformers
swift rlhf --rlhf_type grpo --model ~/models/tiny --model_type qwen2 --template qwen2_5 --dataset data/mr_train.jsonl --num_generations 2 --per_device_train_batch_size 2
