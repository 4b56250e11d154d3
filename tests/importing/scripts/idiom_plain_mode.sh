#!/bin/bash
# style: a command in an array, plain or by torchrun, printed first
PLAIN="${PLAIN:-0}"
N=${N:-2}
if [[ "$PLAIN" == "1" ]]; then CMD=(swift rlhf); else CMD=(torchrun --nproc_per_node "$N" -m swift.cli.rlhf); fi
CMD+=(--rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 2 --per_device_train_batch_size 2)
echo "Running: ${CMD[*]}"
"${CMD[@]}"
