# Options of srun that a spec has no key for.
srun --mpi=pmix -n 8 torchrun --nproc_per_node 2 -m swift.cli.rlhf --rlhf_type grpo
#! 2: srun --mpi=pmix has no key in a spec
#! 2: srun -n=8 has no key in a spec
