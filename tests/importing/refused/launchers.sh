# Launchers with ways of their own.
accelerate launch --num_processes 4 -m swift.cli.rlhf --rlhf_type grpo
deepspeed --num_gpus 4 swift/cli/rlhf.py --rlhf_type grpo
python -m torch.distributed.launch --nproc_per_node 2 swift/cli/rlhf.py --rlhf_type grpo
mpirun -n 2 swift rlhf --rlhf_type grpo
ssh node1 swift rlhf --rlhf_type grpo
torchrun --nproc_per_node 2 my/swift/cli/rlhf_old.py
#! 2: accelerate starts the training
#! 3: deepspeed starts the training
#! 4: torch.distributed.launch is deprecated
#! 5: 'mpirun' starts the training, and only bash knows how
#! 6: 'ssh' starts the training, and only bash knows how
#! 7: torchrun runs my/swift/cli/rlhf_old.py: not swift.cli.rlhf
