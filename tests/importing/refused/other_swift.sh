# ms-swift's other commands.
swift sft --model a
megatron rlhf --rlhf_type grpo
CUDA_VISIBLE_DEVICES=7 swift rollout --model a &
swift infer --model a
torchrun -m swift.cli.sft --model a
#! 2: swift sft: not `swift rlhf`
#! 3: megatron rlhf: Megatron-SWIFT is another program
#! 4: swift rollout: not `swift rlhf`
#! 5: swift infer: not `swift rlhf`
#! 6: swift.cli.sft: not swift.cli.rlhf
