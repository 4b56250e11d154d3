"""A step of the log in one short line, in place of the thirty values that ms-swift prints."""

from __future__ import annotations

import re
from typing import Any

from prl_submit.results.logged_values import printed_line, seconds
from prl_submit.results.step_lines import EVALUATED, TRAINING, LineParser, LogLine
from prl_submit.results.time_words import short, time_left

#: What ms-swift prints at the end of a line, behind a progress bar, or behind the name of a node.
_PRINTED = re.compile(rb"(?:^|\r|\][: ])(\{'[^\r\n]*\})[ \r]*$")
#: The begin of such a line, of which the rest may follow.
_BEGUN = re.compile(rb"(?:^|\r|\][: ])(\{)(?:'[^\r\n]*)?$")
#: A line that is longer is passed on as it is.
_LONGEST = 1 << 16


class ShortSteps:
    """Replaces what ms-swift prints of a step by a short line. All other bytes stay, and are not delayed.

    `step 5/60  reward 0.015 ±0.001  kl 0.0012  len 32  2.2 s/it  2 min left`
    """

    def __init__(self) -> None:
        self._parser = LineParser()
        self._rest = b""

    def __call__(self, content: bytes) -> bytes:
        """The next piece of the log. The begin of a step's line is kept back until the line has its end."""
        *lines, rest = (self._rest + content).split(b"\n")
        begun = _BEGUN.search(rest) if len(rest) <= _LONGEST else None
        place = begun.start(1) if begun is not None else len(rest)
        self._rest = rest[place:]
        return b"".join(self._short(line) + b"\n" for line in lines) + rest[:place]

    @property
    def is_holding(self) -> bool:
        """True if the begin of a line is kept back. At the end of the log a line end brings it out."""
        return bool(self._rest)

    def _short(self, line: bytes) -> bytes:
        match = _PRINTED.search(line) if b"{'" in line and len(line) <= _LONGEST else None
        raw = printed_line(match[1]) if match is not None else None
        words = step_words(raw, self._parser) if raw is not None else None
        if match is None or words is None:
            return line
        return line[: match.start(1)] + words.encode() + line[match.end(1) :]


def step_words(raw: dict[str, Any], parser: LineParser) -> str | None:
    """A step or an evaluation in one line. The speed and the time left are ms-swift's own."""
    line = parser.parse_object(raw)
    if line is None or line.kind not in (TRAINING, EVALUATED):
        return None
    parts = [f"step {line.step}/{line.max_steps or '?'}"]
    if line.kind == EVALUATED:
        parts.append("evaluation")
    parts += _metrics(line)
    if line.kind == TRAINING:
        parts += _times(line, raw)
    return "  ".join(parts)


def _metrics(line: LogLine) -> list[str]:
    values = line.values
    parts = []
    reward, spread = values.get("reward"), values.get("reward_std")
    if reward is not None:
        parts.append(
            f"reward {short(reward)}" + (f" ±{short(spread)}" if spread is not None else "")
        )
    elif (loss := values.get("loss")) is not None:
        parts.append(f"loss {short(loss)}")
    for name, word in (("kl", "kl"), ("completion_length", "len")):
        value = values.get(name)
        if value is not None:
            parts.append(f"{word} {short(value)}")
    took = values.get("runtime")
    if took is not None:
        parts.append(time_left(took))
    return parts


def _times(line: LogLine, raw: dict[str, Any]) -> list[str]:
    pace = line.seconds_per_step
    if pace is None and line.steps_per_second is not None:
        pace = 1 / line.steps_per_second
    left = seconds(raw.get("remaining_time"))
    parts = [f"{short(pace)} s/it"] if pace is not None else []
    return parts + ([f"{time_left(left)} left"] if left is not None else [])
