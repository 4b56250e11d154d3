"""Entry point: `prl-submit` and `python -m prl_submit`."""

import gc
import os
import sys


def main() -> None:
    """Run the command line; ends the process with the contract's exit code."""
    _open_standard_streams()
    # The default collects every 700 objects, which is a tenth of the time that imports take here.
    gc.set_threshold(100_000)
    try:
        from prl_submit.cli import main as run

        run()
    except KeyboardInterrupt:  # before or after the command itself
        sys.exit(130)


def _open_standard_streams() -> None:
    """Let nothing that is opened later take the number of a closed stdin, stdout or stderr."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, so this one


if __name__ == "__main__":
    main()
