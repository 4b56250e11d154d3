# The output of programs.
GPUS=$(nvidia-smi -L | wc -l)
export NPROC_PER_NODE=$GPUS
swift rlhf --rlhf_type grpo --run_name "mr-$(date +%F)" --seed `id -u` \
  --num_generations $RANDOM
#! 3: NPROC_PER_NODE: $GPUS, line 2: the output of $(nvidia-smi -L | wc -l) is known only when it runs
#! 4: --run_name: the output of $(date +%F) is known only when it runs
#! 4: --seed: the output of $(id -u) is known only when it runs
#! 5: --num_generations: $RANDOM is known only when the script runs
