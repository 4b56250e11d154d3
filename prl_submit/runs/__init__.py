"""Run directories: what is in them, and what that says of a run."""
