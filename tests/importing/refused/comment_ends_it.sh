# A comment among continued lines ends the command, as bash has it.
NPROC_PER_NODE=2 swift rlhf \
  --rlhf_type grpo \
  # --beta 0.1 \
  --seed 1
#! 5: '--seed' is a command of its own: the command above it has ended
