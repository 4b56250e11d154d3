"""Node 0 answers the other nodes: in a process beside launch.sh, for as long as launch.sh lives."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from prl_submit.backends.platform.handshake import (
    NodeAnswer,
    NodeFault,
    NodeHello,
    Orders,
    Pace,
    Responder,
)
from prl_submit.backends.platform.node_folder import NodeFolder, OldFiles, remove_old_files
from prl_submit.backends.platform.stop_signals import StopSignals
from prl_submit.errors import EXIT_JOB_FAILED
from prl_submit.runs.layout import EXIT, LOGS, alive_file, node_log
from prl_submit.runs.signs_of_life import read_sign
from prl_submit.system.files import write_inside
from prl_submit.system.reading import read_record

#: The descriptors that a process may have inherited are below this number.
_DESCRIPTORS = 1024
#: The longest sleep without a look whether launch.sh still lives.
_NAP_S = 0.2


class Desk:
    """The responder together with its folder: reads what the nodes say, and writes the answers."""

    def __init__(self, folder: NodeFolder, responder: Responder, run: Path | None) -> None:
        self._folder = folder
        self._responder = responder
        self._run = run
        self._written: dict[str, NodeAnswer] = {}
        self._hello: NodeHello | None = None
        self._faults: list[NodeFault] = []
        #: The sign of life of an earlier attempt of node 0, if there is one.
        self._old_sign = self._sign(0)

    def look(self, now: float, is_alive: Callable[[], bool] = lambda: True) -> None:
        """Read what was said since, and answer. Whatever the disk refuses is tried again at the next look.

        `is_alive`: is asked again before anything is written, because the next node 0 may be there already.
        """
        folder = self._folder
        self._note_present()
        orders = self._responder.step(folder.hellos(), folder.asks(), self._sign, now)
        if not is_alive():
            return
        with contextlib.suppress(OSError):
            self._write(orders)
        self._faults += orders.faults
        with contextlib.suppress(OSError):
            self._report()

    @property
    def is_complete(self) -> bool:
        """True if every other node has been answered."""
        return self._responder.is_complete

    def is_everybody_told(self, nonce: str) -> bool:
        """True if all nodes have been answered, and none of them still asks."""
        return self._responder.is_complete and not any(
            nonce in ask.to for ask in self._folder.asks()
        )

    def close(self) -> None:
        """Take back what was said: nobody is there any more."""
        if self._hello is not None:
            self._folder.remove(self._hello)
        for answer in self._written.values():
            self._folder.remove(answer)
        self._folder.leave()

    def _write(self, orders: Orders) -> None:
        self._hello = orders.hello
        self._folder.write(orders.hello)
        for answer in orders.answers:
            if self._written.get(answer.to) != answer or not self._folder.has(answer):
                self._folder.write(answer)
                self._written[answer.to] = answer

    def _sign(self, rank: int) -> bytes:
        """The sign of life of a rank's launch.sh; empty before its first one."""
        if self._run is None:
            return b""
        try:
            return read_record(alive_file(self._run, rank))
        except OSError:
            return b""

    def _attempt(self) -> int | None:
        """The number of this attempt; None until launch.sh of node 0 has begun."""
        if self._run is None or self._sign(0) == self._old_sign:
            return None
        sign = read_sign(alive_file(self._run, 0), 0)
        return None if sign is None else sign.attempt

    def _note_present(self) -> None:
        """Tell the responder of the nodes that take part in this attempt, whether or not they have asked."""
        missing, attempt = self._responder.missing, self._attempt()
        if self._run is None or attempt is None:
            return
        for rank in missing:
            sign = read_sign(alive_file(self._run, rank), rank)
            if sign is not None and sign.is_whole and sign.attempt == attempt and attempt > 0:
                self._responder.note_present(rank, sign.host)

    def _report(self) -> None:
        """Write down which node cannot take part, and why, as launch.sh of that node would: launch.sh ends then."""
        attempt = self._attempt()
        if self._run is None or attempt is None:
            return  # launch.sh would remove the file when it begins
        while self._faults:
            fault = self._faults[0]
            # Node 0's own exit.json is its launch.sh's. The words name the rank that is meant.
            name = f"{LOGS}/node{fault.rank or 1}.exit.json"
            _write_exit(self._run, name, attempt, fault)
            del self._faults[0]


def _write_exit(run: Path, name: str, attempt: int, fault: NodeFault) -> None:
    """Write that a node has failed, in the very form in which launch.sh writes and reads it. Raises OSError."""
    record = {
        "exit_code": fault.code,
        "state": "FAILED",
        "started_at": None,
        "ended_at": None,
        "restarts": attempt,
        "node": fault.host,
        "reason": "".join(char if char.isprintable() else " " for char in fault.words),
    }
    write_inside(run, name, f"{json.dumps(record, ensure_ascii=False)}\n".encode())


def answer_until_told(desk: Desk, nonce: str, stop: StopSignals, pace: Pace, wait: float) -> None:
    """Answer in the foreground until all other nodes know, or `wait` seconds are over. Raises StoppedError."""
    began = time.monotonic()
    try:
        while (now := time.monotonic()) - began < wait:
            desk.look(now)
            stop.sleep(pace.poll)
            if desk.is_everybody_told(nonce):
                return
    finally:
        desk.close()


def fork_companion(desk: Desk | None, run: Path, root: Path, pace: Pace) -> None:
    """Start the process that accompanies this process, which then becomes launch.sh of node 0.

    The companion answers the other nodes at the desk as long as launch.sh lives. A job of one node has no
    desk: then the companion ends as soon as launch.sh has begun.
    """
    parent = os.getpid()
    if os.fork() != 0:
        return
    try:
        _leave_alone()
        if desk is None:
            while os.getppid() == parent and not _has_begun(run):
                time.sleep(pace.poll)
        else:
            _answer_while_alive(desk, root, pace, parent)
            desk.close()
        _record_if_not_begun(run)
    finally:
        os._exit(0)


def _leave_alone() -> None:
    """Keep nothing that belongs to launch.sh: its terminal, its streams, a lock that it inherited, its signals.

    The streams matter because a reader of launch.sh's output waits until every writer has closed it.
    """
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.closerange(3, _DESCRIPTORS)
    os.chdir("/")


def _answer_while_alive(desk: Desk, root: Path, pace: Pace, parent: int) -> None:
    old = OldFiles()

    def is_alive() -> bool:
        return os.getppid() == parent

    while is_alive():
        desk.look(time.monotonic(), is_alive)
        with contextlib.suppress(OSError):
            remove_old_files(root, old, time.monotonic())
        until = time.monotonic() + (pace.calm if desk.is_complete else pace.poll)
        while is_alive() and time.monotonic() < until:
            time.sleep(min(pace.poll, _NAP_S))


def _has_begun(run: Path) -> bool:
    """True if launch.sh of node 0 has left a trace: in this attempt or in an earlier one."""
    return os.path.lexists(node_log(run / LOGS, 0)) or os.path.lexists(run / EXIT)


def _record_if_not_begun(run: Path) -> None:
    """If launch.sh was killed before its first line, nobody else would ever say so: write exit.json."""
    if _has_begun(run):
        return
    with contextlib.suppress(OSError):
        words = "launch.sh of node 0 was killed before it began"
        _write_exit(run, EXIT, 0, NodeFault(0, os.uname().nodename, words, EXIT_JOB_FAILED))
