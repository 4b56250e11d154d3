# Words that ms-swift's own parser would refuse.
swift rlhf grpo.yaml --rlhf_type grpo stray --seed --beta 0.1 0.2 -x 3 --model=a b --num_generations
#! 2: grpo.yaml holds arguments that are not in the script
#! 2: --beta takes one value, found 2: 0.1 0.2
#! 2: --num_generations has no value here
#! 2: --rlhf_type takes one value, found 2: grpo stray
#! 2: --seed has no value here
#! 2: -x is no argument of ms-swift
#! 2: 'b' belongs to no argument
