"""What commands print of several runs: tables, pages, and the table that `status --watch` redraws.

    shown_runs.py    asks about runs and reads their trainings; prints them as a table or as columns
    run_choice.py    which runs `list` shows, with which columns, in which order
    run_columns.py   the columns: what each shows, and by what it is sorted
    run_table.py     the columns that fit into a terminal, and the lines below each row
    run_page.py      all that is known of one run
    sweep_heads.py   the line above the runs of a sweep
    sweep_tables.py  the combinations of a sweep that is to be submitted, and their problems
    comparison_view.py  the tables of `compare`, and what failed or is not healthy
    wide_tables.py   tables that are wider than the terminal, in several parts
    live_runs.py     runs that are looked at again and again
    live_screen.py   a part of the terminal that is drawn again and again
    live_table.py    the table that is drawn anew until all runs have ended

One line about a run, which many commands print, is in cli/run_lines.py.
"""
