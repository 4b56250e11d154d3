# What bash could not read either.
if [ -n "$A" ]; then
  swift rlhf --rlhf_type grpo
echo "never closed
#! 4: bash cannot read this
