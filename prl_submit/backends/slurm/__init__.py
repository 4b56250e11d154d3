"""Slurm: submitting job.sbatch, and reading what Slurm's own commands say about jobs.

What is sent: `batch_script` and `directives` (job.sbatch), `inherited_environment`.
Before it is sent: `options` (the section's rules), `partitions` (jobs that could never start).
What Slurm answers: `slurm_commands` calls its commands; `sbatch_answer`, `refusals`, `job_listing`,
`batch_log` and `reasons` read their output.
A run's state: `states` asks for all runs, `ownership` finds each run's job, `evidence` collects what is
known of it, `judge` and `ended_job` decide.

`backend`, `states` and `ownership` read files, `slurm_commands` starts processes. All others are pure.
"""
