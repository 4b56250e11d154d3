"""Sweeps: many runs from one spec, which differ in the values of some keys.

combinations.py      the section `sweep` -> all combinations of values, and their names; pure
draws.py             the values of `sweep.random`; pure
run_names.py         the names of the runs, by the pattern `sweep.name`; pure
sweep_plans.py       SPEC and options -> a plan for each combination, and the problems of all
shared_problems.py   one problem for all combinations that have it
sweep_estimate.py    how many steps the runs train, and how long that takes
sweep_file.py        sweep.json, which says what runs a sweep has
pruned_folders.py    what `prune` leaves of a sweep's folder
sweep_submission.py  plans -> prepared runs, which the backend is given together
    run_files.py         the files of the runs of a new sweep
    resuming.py          submits what has not succeeded
"""
