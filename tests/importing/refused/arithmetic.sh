# More than whole numbers.
N=${N:-four}
swift rlhf --rlhf_type grpo --seed $((N + 1)) --num_generations $((010)) --max_steps $((M = 2)) --beta $((1 / 0)) --epsilon $[1+1]
#! 3: --beta: a division by zero
#! 3: --epsilon: $[…] is arithmetic that bash has given up
#! 3: --max_steps: $((M = 2)) is more than whole numbers
#! 3: --num_generations: $((010)) is more than whole numbers
#! 3: --seed: N is no number: 'four'
