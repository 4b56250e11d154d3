#!/usr/bin/env python3
"""Make docs/terminal.svg: run real commands on a pseudo-terminal and draw what they print.

usage: python tools/make_picture.py      (after `make demo`; takes about half a minute)
"""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
COLUMNS, ROWS = 112, 40
COMMANDS = (
    "prl-submit check jobs/mr_4gpu.yaml --set swift.num_generations=3 --set swift.eval_strategy=no",
    "prl-submit jobs/mr_cpu.yaml",
    "prl-submit wait latest",
    "prl-submit list --last 1",
    "prl-submit status latest",
)


def capture(command: str) -> str:
    """What a command prints on a terminal of COLUMNS columns."""
    master, slave = pty.openpty()
    environ = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS)}
    environ["PATH"] = f"{Path(sys.executable).parent}:{environ['PATH']}"
    script = f"stty cols {COLUMNS} rows {ROWS}; {command}"
    with subprocess.Popen(
        ["bash", "-c", script], cwd=ROOT, stdin=slave, stdout=slave, stderr=slave, env=environ
    ) as process:
        os.close(slave)
        chunks = []
        while select.select([master], [], [], 120)[0]:
            try:
                data = os.read(master, 65536)
            except OSError:  # the terminal's other end was closed
                break
            chunks.append(data)
        process.wait(120)
    os.close(master)
    # The picture must not show the folder of this checkout.
    return b"".join(chunks).decode().replace("\r\n", "\n").replace(str(ROOT), "~/prl-submit")


def main() -> None:
    """Run the commands, draw what they print, and write the picture."""
    console = Console(record=True, width=COLUMNS, file=open(os.devnull, "w"))  # noqa: SIM115
    for command in COMMANDS:
        console.print(Text(f"$ {command}", style="bold"))
        console.print(Text.from_ansi(capture(command)))
    svg = console.export_svg(title="prl-submit")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)  # no fonts from the network
    target = ROOT / "docs" / "terminal.svg"
    target.write_text(svg, encoding="utf-8")
    print(f"{target.relative_to(ROOT)}: {len(svg):,} characters")


if __name__ == "__main__":
    main()
