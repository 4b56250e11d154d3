# Variables of the outside, without a default.
swift rlhf --rlhf_type grpo --model "$PRL_MODEL" --dataset ${DATA:?give it} \
  --num_generations ${1} --seed "$2" --run_name $USER-$(hostname)
#! 2: --model: $PRL_MODEL is not set in the script
#! 2: --dataset: $DATA is not set in the script
#! 3: --num_generations: $1 is given when the script is started
#! 3: --seed: $2 is given when the script is started
#! 3: --run_name: $USER is known only when the script runs
