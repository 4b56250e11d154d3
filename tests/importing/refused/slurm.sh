#!/bin/bash
#SBATCH --array=1-4
#SBATCH --gres=gpu:8 --nodes=2-4
#SBATCH --mem=lots
#SBATCH --cpus-per-task=3
#SBATCH --time=never
#SBATCH --cluster-constraint=x --colour
#SBATCH -Z
export NPROC_PER_NODE=4
srun --ntasks-per-node=4 swift rlhf --rlhf_type grpo
#! 2: #SBATCH --array has no key in a spec
#! 3: #SBATCH --gres asks for 8 GPUs, the training uses 4
#! 3: #SBATCH --nodes=2-4: expected a number
#! 4: #SBATCH --mem=lots: a spec says how much
#! 5: 3 CPUs per node for 4 processes
#! 6: #SBATCH --time=never: not understood
#! 7: #SBATCH --colour has no key in a spec
#! 8: #SBATCH -Z: not understood
#! 10: srun --ntasks-per-node=4 has no key in a spec
