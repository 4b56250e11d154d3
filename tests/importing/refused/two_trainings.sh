# One after the other.
swift rlhf --rlhf_type grpo --seed 1
swift rlhf --rlhf_type grpo --seed 2
swift export --model output/x
if true; then rm -rf output; fi
#! 3: a second training
#! 4: a second training
#! 5: runs behind the training: if true
