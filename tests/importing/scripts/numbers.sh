# style: numbers, computed and in all writings
GPUS=4; BATCH=32
PER_GPU=$((BATCH / GPUS))
export NPROC_PER_NODE=$GPUS
swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl \
  --per_device_train_batch_size $PER_GPU --gradient_accumulation_steps $(expr 16 / $GPUS) \
  --num_generations $(( (PER_GPU * GPUS) / 4 % 9 )) --learning_rate 0.000001 --weight_decay 1E-2 \
  --temperature 1. --top_p .95 --max_grad_norm 1.0 --beta 1e-03 --warmup_ratio 0 --seed 0042 --epsilon_high=0.28
