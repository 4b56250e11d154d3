# Options of torchrun that a spec has no key for.
torchrun --nnodes 1:4 --nproc_per_node gpu --max_restarts 3 -m swift.cli.rlhf --rlhf_type grpo
#! 2: torchrun --nnodes=1:4: expected a number
#! 2: torchrun --nproc_per_node=gpu: expected a number
#! 2: torchrun --max_restarts has no key in a spec
