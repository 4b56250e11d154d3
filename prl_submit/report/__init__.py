"""One HTML file about some runs: curves, settings, hints and completions, which a browser shows without a server.

report_data.py       all that the file shows, as data
curves.py            metrics as columns, and which charts there are
kept_completions.py  the completions that are shown, if there are too many
run_notes.py         what is missing of a run, in words
page.py              the file: its style, its scripts and its data
write_report.py      writes it over nothing but an older report
page/                the scripts of the page, of which main.js begins; tests/browser runs them
uplot/               the library that draws the curves, as it was published
"""
