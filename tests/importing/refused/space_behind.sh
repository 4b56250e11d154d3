# A space behind the backslash, and a line without one.
swift rlhf --rlhf_type grpo \ 
  --beta 0.1
  --seed 1
#! 2: a space behind the `\` at the end of the line
#! 3: '--beta' is a command of its own
#! 4: '--seed' is a command of its own
