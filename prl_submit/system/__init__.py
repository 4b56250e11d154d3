"""The doors to disk and processes, and what others wrote made harmless. Nothing here knows of jobs."""
