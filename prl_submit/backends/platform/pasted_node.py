"""One node of a job whose platform runs `prl-submit SPEC --backend platform` itself on every node."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import msgspec
from msgspec import Struct

from prl_submit.backends.base import NothingToStart
from prl_submit.backends.platform.answering import Desk, answer_until_told, fork_companion
from prl_submit.backends.platform.earlier_runs import (
    find_earlier_run,
    find_run_of_node,
    run_key,
    why_not_again,
)
from prl_submit.backends.platform.handshake import (
    PACE,
    Asker,
    Claim,
    NodeAnswer,
    NodeHello,
    Pace,
    Responder,
    Said,
    digest,
    spec_digest,
)
from prl_submit.backends.platform.job_size import differences
from prl_submit.backends.platform.node_folder import NodeFolder
from prl_submit.backends.platform.stop_signals import StopSignals, hand_over_signals, stop_signals
from prl_submit.backends.platform.variables import Seen
from prl_submit.errors import EXIT_JOB_FAILED, BackendRefusedError, PrlSubmitError
from prl_submit.planning.plan import Planned
from prl_submit.runs.belonging import is_same, stranger
from prl_submit.runs.directory import Run, read_run
from prl_submit.runs.layout import LAUNCH
from prl_submit.runs.record import PlatformJob
from prl_submit.runs.times import age
from prl_submit.spec.nodes import Node, leaves
from prl_submit.system.owners import owner_of_new_files, user_name
from prl_submit.system.untrusted_text import one_line

Make = Callable[[PlatformJob], Run]
Tell = Callable[[str], None]

#: Seconds in which a run that node 0 has made becomes visible on another node of a shared disk.
_VISIBLE_S = 90.0
#: Seconds between two looks of a node that waits at the runs that are there.
_LOOK_S = 30.0
#: After so many seconds without an answer a node asks itself whether its job has ended well before.
_ALONE_S = 120.0
#: So long node 0, which starts nothing, stays to tell the others.
_TELL_S = 300.0


class NodePlace(Struct, frozen=True, kw_only=True):
    """The place of this process among the nodes, as the platform's variables tell it."""

    rank: int
    nodes: int
    master_addr: str | None = None
    master_port: int | None = None
    job: str | None = None
    host: str = ""

    @property
    def key(self) -> str:
        """The name of the folder in which the nodes meet: of what the variables of all nodes have in common."""
        return digest([self.nodes, self.master_addr, self.master_port, self.job])

    @property
    def words(self) -> str:
        """`node 1 of 2 (n1)`."""
        return f"node {self.rank} of {self.nodes} ({self.host})"


def node_of(planned: Planned, seen: Seen) -> PastedNode:
    """This process as the node that the variables tell. Raises PrlSubmitError if they are wrong."""
    if seen.faults or seen.node_rank is None:
        raise PrlSubmitError(
            f"the variables of the platform are wrong: {'; '.join(seen.faults)}",
            "set them as the platform does, or name others in `platform:`; --prepare only prepares a run",
        )
    if differing := "; ".join(differences(planned.plan, seen)):
        raise PrlSubmitError(
            differing,
            "change the spec or the platform's form; --prepare only prepares a run, for other nodes",
        )
    place = NodePlace(
        rank=seen.node_rank,
        nodes=seen.nodes,
        master_addr=seen.master_addr,
        master_port=seen.master_port,
        job=seen.job,
        host=os.uname().nodename,
    )
    plan = planned.plan
    keys = spec_keys(planned.tree)
    return PastedNode(place, Path(plan.output_root), keys, plan.platform.wait)


def spec_keys(tree: Node) -> dict[str, str]:
    """A digest of each value of a spec, by its key: nobody can read a value from it.

    Left out are the keys that say where files are, and not what the job is.
    """
    values = ((key, node) for key, node in leaves(tree) if key not in ("extends", "output"))
    return {key: digest([key, _plain(node)]) for key, node in values}


def _plain(node: Node) -> Any:
    if isinstance(node.value, list):
        return [_plain(child) for child in node.value]
    if isinstance(node.value, dict):
        return {key: _plain(child) for key, child in sorted(node.value.items())}
    return node.value


class PastedNode:
    """This process: one node of a job. `keys`: a digest of each value of its spec; `wait`: platform.wait."""

    def __init__(
        self, place: NodePlace, root: Path, keys: dict[str, str], wait: float, pace: Pace = PACE
    ) -> None:
        self._place = place
        self._root = root
        self._keys = keys
        self._wait = wait
        self._pace = pace
        self._folder = NodeFolder(root, place.key)
        self._nonce = secrets.token_hex(16)
        self._has_written = False
        self._key = run_key(place.key, spec_digest(keys), place.job, place.host)

    def start(self, make: Make, *, new_run: bool, tell: Tell) -> NothingToStart:
        """Find the job's run, or as node 0 make it, and become its launch.sh.

        Returns only if there is nothing to start. Raises PrlSubmitError, also after a signal; then nothing of
        this node is left. `make`: makes the run, with its place in the record.
        """
        with stop_signals() as stop:
            if self._place.rank:
                found = self._ask_node_0(new_run, tell, stop)
            else:
                found = self._be_node_0(make, new_run, tell, stop)
            if isinstance(found, Path):
                tell(f"{self._place.words} becomes {found / LAUNCH}")
                self._become_launch(found, stop)
            return found

    # ------------------------------------------------------------------ node 0
    def _be_node_0(
        self, make: Make, new_run: bool, tell: Tell, stop: StopSignals
    ) -> Path | NothingToStart:
        """The run directory, after the responder has been started; or why there is no run to start."""
        hello = NodeHello(nonce=self._nonce, host=self._place.host, spec=spec_digest(self._keys))
        try:
            taken = self._claim(stop) if self._place.nodes > 1 else None
            if taken is not None:
                self._leave(hello)
                return NothingToStart(
                    taken.code, taken.words, "give each job a MASTER_PORT of its own"
                )
            run = self._find_or_make(make, new_run, tell, stop)
        except BaseException:
            self._leave(hello)
            raise
        answer = NodeAnswer(sender=self._nonce, to="")
        if isinstance(run, NothingToStart):
            words = run.words if run.hint is None else f"{run.words}; {run.hint}"
            answer = msgspec.structs.replace(answer, code=run.code, words=words)
        else:
            token = run.require_record().token
            answer = msgspec.structs.replace(answer, run=str(run.path), token=token)
        return self._let_others_know(run, hello, answer, tell, stop)

    def _claim(self, stop: StopSignals) -> NodeAnswer | None:
        """Say hello for some seconds. The refusal if there is another living node 0."""
        claim = Claim(
            self._nonce, self._place.host, spec_digest(self._keys), self._pace, time.monotonic()
        )
        while True:
            said = claim.step(
                self._folder.hellos(), self._folder.answers(self._nonce), time.monotonic()
            )
            if said is None:
                return None
            self._say(said)
            if isinstance(said, NodeAnswer):
                return said
            stop.sleep(self._pace.poll)

    def _find_or_make(
        self, make: Make, new_run: bool, tell: Tell, stop: StopSignals
    ) -> Run | NothingToStart:
        """The run to go on in, or a new one."""
        place = self._place
        earlier = None if new_run else find_earlier_run(self._root, self._key)
        if earlier is not None:
            ended = why_not_again(earlier)
            if ended is None:
                tell(
                    f"{place.words} goes on in {earlier.name}, which this command has started before"
                )
            return ended or earlier
        stop.check()
        run = make(PlatformJob(job=place.job, key=self._key))
        if stop.heard is not None:  # nobody knows of the run yet
            shutil.rmtree(run.path, ignore_errors=True)
            stop.check()
        tell(f"{place.words} made {run.name}")
        return run

    def _let_others_know(
        self,
        run: Run | NothingToStart,
        hello: NodeHello,
        answer: NodeAnswer,
        tell: Tell,
        stop: StopSignals,
    ) -> Path | NothingToStart:
        """Start the responder; if there is no run to start, answer until all other nodes know."""
        path = None if isinstance(run, NothingToStart) else run.path
        responder = Responder(hello, self._keys, self._place.nodes, self._pace, answer)
        desk = Desk(self._folder, responder, path) if self._place.nodes > 1 else None
        if not isinstance(run, NothingToStart):
            fork_companion(desk, run.path, self._root, self._pace)
            return run.path
        if desk is not None and self._place.job is None:
            tell(f"{run.words}; the other nodes are told so")
            answer_until_told(desk, self._nonce, stop, self._pace, min(self._wait, _TELL_S))
        return run

    # ------------------------------------------------------------------ the other nodes
    def _ask_node_0(self, new_run: bool, tell: Tell, stop: StopSignals) -> Path | NothingToStart:
        """The run directory that node 0 answers, or why there is none."""
        place = self._place
        tell(
            f"{place.words} waits for node 0 ({place.master_addr}) in {self._folder.path}, at most "
            f"{age(self._wait)} (platform.wait)"
        )
        asker = Asker(self._nonce, place.rank, place.host, self._keys, self._pace, time.monotonic())
        look_at = asker.began
        try:
            while (now := time.monotonic()) - asker.began < self._wait:
                said = asker.step(self._folder.hellos(), self._folder.answers(self._nonce), now)
                if isinstance(said, NodeAnswer):
                    return self._obey(said, asker, stop)
                if now >= look_at and not new_run:
                    look_at = now + _LOOK_S
                    if ended := self._ended_before(is_alone=now - asker.began >= _ALONE_S):
                        return ended
                self._say(said)
                stop.sleep(self._pace.poll_of(place.nodes))
            ended = None if new_run else self._ended_before(is_alone=True)
            return ended or self._nobody_answered(asker)
        finally:
            self._leave(asker.ask)

    def _ended_before(self, *, is_alone: bool) -> NothingToStart | None:
        """Why the job's run is not started again, if this node can tell without node 0; else None.

        By the platform's id of the job it can. Without an id it can after some time (`is_alone`): if a run
        of this very node has SUCCEEDED, node 0 has ended well too, and does not come again.
        """
        place = self._place
        if place.job is not None:
            run = find_earlier_run(self._root, self._key)
            return None if run is None else why_not_again(run)
        if not is_alone:
            return None
        spec = spec_digest(self._keys)
        run = find_run_of_node(self._root, place.key, spec, place.rank, place.host)
        ended = None if run is None else why_not_again(run)
        return ended if ended is not None and ended.code == 0 else None

    def _obey(self, answer: NodeAnswer, asker: Asker, stop: StopSignals) -> Path | NothingToStart:
        """Go where the answer says; the answer of a node 0 that has another spec ends both nodes."""
        farewell = asker.farewell(answer)
        if farewell is not None:
            self._say(farewell)
            stop.sleep(4 * self._pace.calm)  # until node 0 has read it
        if answer.run is None:
            hint = "start the same command, with the same variables and files, on every node"
            return NothingToStart(answer.code, answer.words, None if farewell is None else hint)
        path = Path(answer.run)
        self._await_run(path, answer, stop)
        self._refuse_other_runs(path)
        return path

    def _refuse_other_runs(self, path: Path) -> None:
        """Raise PrlSubmitError for a launch.sh that node 0 cannot have meant: this process would become it."""
        if path.is_symlink() or not is_same(path.parent, self._root):
            raise PrlSubmitError(
                f"{self._place.words}: the answer in {self._folder.path} names {one_line(str(path))}, which is no "
                f"run in {self._root}; nothing was started",
                "who else may write into the output root?",
            )
        uid = stranger(path, owner_of_new_files(self._root))
        if uid is not None:
            raise PrlSubmitError(
                f"{self._place.words}: node 0 says that the run is {path}, but that is {user_name(uid)}'s, "
                f"and this is {user_name(os.geteuid())}; nothing was started",
                "start the containers of all nodes as one user",
            )

    def _await_run(self, path: Path, answer: NodeAnswer, stop: StopSignals) -> None:
        """Wait until the run is visible here. Raises PrlSubmitError if it does not become visible."""
        began = time.monotonic()
        while True:
            run = read_run(path)
            if run is not None and run.record is not None and run.record.token == answer.token:
                return
            if time.monotonic() - began >= min(_VISIBLE_S, self._wait):
                raise BackendRefusedError(
                    f"{self._place.words}: node 0 says that the run is {one_line(str(path))}, but it is not there on "
                    f"{self._place.host}",
                    f"mount the disk of {self._root} at the same path on every node",
                )
            stop.sleep(self._pace.poll)

    def _nobody_answered(self, asker: Asker) -> NothingToStart:
        """The time-out in words: who was looked for, where, and on which host."""
        place = self._place
        left = [f"{h.host} (that process has ended, or answers nobody)" for h in asker.hellos]
        seen = f"; a node 0 was there on {' and '.join(left)}" if left else ""
        return NothingToStart(
            EXIT_JOB_FAILED,
            f"{place.words} waited {age(self._wait)} (platform.wait) for node 0 ({place.master_addr}), which did not "
            f"answer in {self._folder.path} on {place.host}{seen}",
            f"is {self._root} on a disk that all nodes share, and does node 0 run the same command?",
        )

    # ------------------------------------------------------------------ both
    def _say(self, said: Said) -> None:
        """Write into the folder. Raises PrlSubmitError if the first write fails; later ones are tried again."""
        try:
            self._folder.write(said)
            self._has_written = True
        except OSError as error:
            if not self._has_written:
                raise self._not_writable(error) from None

    def _not_writable(self, error: OSError) -> PrlSubmitError:
        where = error.filename or self._folder.path
        return PrlSubmitError(
            f"output: {self._place.words} cannot write in {self._folder.path}: {where}: "
            f"{error.strerror} for {user_name()}; nothing was started",
            "make the output root writable for the user of the container, or see --output-root",
        )

    def _leave(self, said: Said) -> None:
        """Remove what this process said."""
        self._folder.remove(said)
        self._folder.forget(self._nonce)
        self._folder.leave()

    def _become_launch(self, run: Path, stop: StopSignals) -> NoReturn:
        """Replace this process by launch.sh: its output, its signals and its exit code are the job's."""
        hand_over_signals(stop)
        os.execvp("bash", ["bash", str(run / LAUNCH)])
