# The training in a loop.
for seed in 1 2 3; do
  swift rlhf --rlhf_type grpo --seed $seed
done
#! 2: the training is started inside `for`
