#!/bin/bash
# Variables that are set inside if, case and a loop.
if [ -n "$BIG" ]; then
  MODEL=Qwen/Qwen2.5-72B
else
  MODEL=Qwen/Qwen2.5-7B
fi
case $SIZE in
  1) LR=1e-6 ;;
  *) LR=1e-5 ;;
esac
for file in data/*; do DATA="$DATA $file"; done
[ -z "$SEED" ] && SEED=1
swift rlhf --rlhf_type grpo --model $MODEL --learning_rate $LR --dataset $DATA --seed $SEED
#! 14: --model: $MODEL, line 3: it is set inside `if`
#! 14: --learning_rate: $LR, line 8: it is set inside `case`
#! 14: --dataset: $DATA, line 12: it is set inside `for`
#! 14: --seed: $SEED, line 13: it is set inside `&&` or `||`
