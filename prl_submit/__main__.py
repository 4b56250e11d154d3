"""`python -m prl_submit`."""

from prl_submit.cli import main

main()
