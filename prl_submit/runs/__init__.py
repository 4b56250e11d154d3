"""Run directories: which files they hold, and what these files tell about a run."""
