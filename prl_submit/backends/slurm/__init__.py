"""What is known of Slurm: its options, its words, its answers. Pure, but for `commands`."""
