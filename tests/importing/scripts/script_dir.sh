#!/usr/bin/env bash
# style: SCRIPT_DIR, and everything from there
set -euo pipefail
SCRIPT_DIR="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
REPO_ROOT="$(cd "${SCRIPT_DIR}/.." >/dev/null 2>&1 && pwd)"
cd "${REPO_ROOT}"
export HF_HOME="${HF_HOME:-${REPO_ROOT}/.cache/hf}"
export PYTHONPATH="${REPO_ROOT}:${PYTHONPATH:-}"
NPROC_PER_NODE=2 swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct \
  --dataset "$REPO_ROOT/data/mr_train.jsonl" --external_plugins "${REPO_ROOT}/plugins/prl_rewards.py" \
  --num_generations 2 --per_device_train_batch_size 2
