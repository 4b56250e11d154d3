"""Where `prl-submit` and `python -m prl_submit` begin."""

import gc
import os
import sys


def main() -> None:
    """Run the command line; ends the process with one of the exit codes that `--help` lists."""
    _open_standard_streams()
    # Python looks for garbage after every 700 new objects, which takes a tenth of the time of the
    # imports below; after 100,000 it is fast, and little garbage is made here.
    gc.set_threshold(100_000)
    try:
        from prl_submit.cli import main as run

        run()
    except KeyboardInterrupt:  # Ctrl-C while modules are imported or Python ends
        sys.exit(130)


def _open_standard_streams() -> None:
    """Open /dev/null for a closed stdin, stdout or stderr.

    Otherwise the next file that is opened would get its number, and what is printed would go there.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it gets the lowest free number, which is this one


if __name__ == "__main__":
    main()
