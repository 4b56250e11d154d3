"""What a training achieved: its metrics, its health in words, its speed, and runs side by side.

This room reads the files of a run directory: logging.jsonl, completions.jsonl, args.json, plan.json and
exit.json. It asks no backend and no clock, so the same files always give the same answer.
"""
