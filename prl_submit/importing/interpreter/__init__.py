"""A script followed from its first line to its training, as bash would run it, running nothing."""
