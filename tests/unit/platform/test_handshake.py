"""The protocol by which nodes find one run, without disk and clock: all orders of events are tried here."""

from __future__ import annotations

import ast
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

import prl_submit.backends.platform
from prl_submit.backends.platform.handshake import (
    EXIT_DIFFERS,
    EXIT_TAKEN,
    Asker,
    Claim,
    NodeAnswer,
    NodeAsk,
    NodeHello,
    Pace,
    Responder,
    differing,
    spec_digest,
)
from prl_submit.backends.platform.pasted_node import spec_keys
from tests.support.plans import planned

KEYS = {"name": "a1", "swift.beta": "b1"}
OTHER = {"name": "a1", "swift.beta": "b2", "swift.max_grad_norm": "c1"}
PACE = Pace(poll=1, hold=5, differs=20, watch=10, calm=1.5)
SPEC = spec_digest(KEYS)


def hello(nonce: str = "h0", host: str = "n0", keys: dict[str, str] = KEYS) -> NodeHello:
    return NodeHello(nonce=nonce, host=host, spec=spec_digest(keys))


def asker(nonce: str = "a1", rank: int = 1, host: str = "n1", keys: dict[str, str] = KEYS) -> Asker:
    return Asker(nonce, rank, host, keys, PACE, 0)


def responder(nodes: int = 2, nonce: str = "h0") -> Responder:
    answer = NodeAnswer(sender=nonce, to="", run="/out/v1", token="t1")
    return Responder(hello(nonce), KEYS, nodes, PACE, answer)


def ask(
    nonce: str,
    to: str = "h0",
    rank: int = 1,
    host: str = "n1",
    keys: dict[str, str] = KEYS,
    beat: int = 1,
    leaves: str | None = None,
) -> NodeAsk:
    return NodeAsk(nonce=nonce, to=[to], rank=rank, host=host, keys=keys, beat=beat, leaves=leaves)


def silent(rank: int) -> bytes:
    return b""


def sign(now: int) -> Callable[[int], bytes]:
    """A launch.sh whose sign of life moves."""
    return lambda rank: str(now).encode()


def said(found: NodeAsk | NodeAnswer) -> NodeAsk:
    assert isinstance(found, NodeAsk)
    return found


# ------------------------------------------------------------------ the asking node
def test_a_node_asks_with_the_nonces_that_it_reads_now() -> None:
    node = asker()
    assert said(node.step([], [], 0)).to == []
    assert said(node.step([hello("old")], [], 1)).to == ["old"]
    assert said(node.step([hello("new")], [], 2)).to == ["new"]
    assert said(node.step([], [], 3)).to == []


def test_the_beat_of_an_asking_node_moves() -> None:
    node = asker()
    beats = [said(node.step([], [], now)).beat for now in range(3)]
    assert beats == [1, 2, 3]


def test_a_node_takes_the_answer_to_its_nonce() -> None:
    node = asker()
    answer = NodeAnswer(sender="h0", to="a1", run="/out/v1")
    assert node.step([hello()], [answer], 1) == answer


@pytest.mark.parametrize(
    "answer",
    [
        NodeAnswer(sender="h0", to="a0", run="/out/v0"),
        NodeAnswer(sender="gone", to="a1", run="/out/v0"),
    ],
    ids=["to another nonce", "of a node 0 that says hello no more"],
)
def test_a_node_does_not_believe(answer: NodeAnswer) -> None:
    assert isinstance(asker().step([hello()], [answer], 1), NodeAsk)


def test_a_node_whose_spec_differs_waits_for_a_node_0_of_its_own_spec() -> None:
    node = asker(keys=OTHER)
    refusal = NodeAnswer(sender="h0", to="a1", code=EXIT_DIFFERS, words="differs")
    assert isinstance(node.step([hello()], [refusal], 0), NodeAsk)
    assert isinstance(node.step([hello()], [refusal], 19), NodeAsk)
    own = NodeAnswer(sender="h9", to="a1", run="/out/v9")
    hellos = [hello(), hello("h9", keys=OTHER)]
    assert node.step(hellos, [refusal, own], 25) == own


def test_a_node_whose_spec_differs_gives_up_and_says_so() -> None:
    node = asker(keys=OTHER)
    refusal = NodeAnswer(sender="h0", to="a1", code=EXIT_DIFFERS, words="differs")
    node.step([hello()], [refusal], 0)
    found = node.step([hello()], [refusal], 20)
    assert found == refusal
    assert isinstance(found, NodeAnswer)
    farewell = node.farewell(found)
    assert farewell is not None
    assert farewell.leaves == "h0"
    assert node.farewell(NodeAnswer(sender="h0", to="a1", run="/out/v1")) is None


def test_a_node_0_of_another_spec_that_ended_is_no_reason_to_give_up() -> None:
    node = asker(keys=OTHER)
    refusal = NodeAnswer(sender="h0", to="a1", code=EXIT_DIFFERS, words="differs")
    node.step([hello()], [refusal], 0)
    assert isinstance(node.step([], [refusal], 30), NodeAsk)
    assert isinstance(node.step([hello()], [refusal], 31), NodeAsk)


@pytest.mark.parametrize(("nodes", "seconds"), [(2, 0.5), (50, 0.5), (200, 2), (10_000, 3)])
def test_very_many_nodes_look_less_often(nodes: int, seconds: float) -> None:
    assert Pace().poll_of(nodes) == seconds
    assert Pace().poll_of(nodes) * 3 < Pace().watch


# ------------------------------------------------------------------ node 0 alone
def test_node_0_holds_for_a_while_and_is_then_alone() -> None:
    claim = Claim("h0", "n0", SPEC, PACE, 0)
    first = claim.step([hello("leftover")], [], 0)
    assert isinstance(first, NodeHello)
    for now in range(1, 5):
        assert isinstance(claim.step([first], [], now), NodeHello)
    assert claim.step([first], [], 5) is None


def test_the_last_word_of_a_node_0_that_was_killed_does_not_matter() -> None:
    claim = Claim("h0", "n0", SPEC, PACE, 0)
    claim.step([hello("leftover")], [], 0)
    for now in range(1, 5):
        assert isinstance(claim.step([hello("leftover")], [], now), NodeHello)
    assert claim.step([hello("leftover")], [], 5) is None


def test_two_nodes_0_are_both_told_with_their_hosts() -> None:
    first, second = Claim("hA", "nA", SPEC, PACE, 0), Claim("hB", "nB", SPEC, PACE, 0)
    file: NodeHello | None = None
    answers: list[NodeAnswer] = []
    ends = {}
    for now in range(20):
        for name, claim in (("A", first), ("B", second)):
            if name in ends:
                continue
            found = claim.step([file] if file else [], answers, now)
            if isinstance(found, NodeHello):
                file = found
            else:
                ends[name] = found
                answers += [found] if found else []
    assert [end.code for end in ends.values() if end] == [EXIT_TAKEN, EXIT_TAKEN]
    assert all("nA" in end.words and "nB" in end.words for end in ends.values() if end)


def test_a_node_0_of_another_spec_does_not_matter() -> None:
    claim = Claim("h0", "n0", SPEC, PACE, 0)
    for now in range(5):
        other = msgspec.structs.replace(hello("x", keys=OTHER), beat=now)
        assert isinstance(claim.step([other], [], now), NodeHello)
    assert claim.step([], [], 5) is None


# ------------------------------------------------------------------ node 0 answers
def test_node_0_answers_an_ask_with_its_nonce() -> None:
    orders = responder().step([], [ask("a1")], silent, 0)
    assert orders.answers == [NodeAnswer(sender="h0", to="a1", run="/out/v1", token="t1")]


@pytest.mark.parametrize(
    "leftover", [ask("a1", to="old"), ask("a1", rank=7), ask("a1", rank=0)], ids=lambda a: a.to
)
def test_node_0_does_not_answer(leftover: NodeAsk) -> None:
    assert responder().step([], [leftover], silent, 0).answers == []


def test_the_hello_of_node_0_moves() -> None:
    node = responder()
    assert [node.step([], [], silent, now).hello.beat for now in range(3)] == [1, 2, 3]


def test_node_0_is_complete_when_every_rank_was_answered() -> None:
    node = responder(nodes=3)
    node.step([], [ask("a1")], silent, 0)
    assert not node.is_complete
    node.step([], [ask("a2", rank=2)], silent, 1)
    assert node.is_complete


def test_a_node_that_takes_part_without_asking_is_not_missing() -> None:
    """It went on by itself when node 0 was started again."""
    node = responder(nodes=3)
    node.step([], [ask("a2", rank=2)], silent, 0)
    assert (node.missing, node.is_complete) == ([1], False)
    node.note_present(1, "nA")
    assert (node.missing, node.is_complete) == ([], True)
    answers = []
    for now in range(1, 20):
        answers += node.step([], [ask("b1", host="nB", beat=now)], sign(now), now).answers
    assert {a.code for a in answers} == {EXIT_TAKEN}
    assert all("nA" in a.words and "nB" in a.words for a in answers)


def test_a_restarted_node_is_answered_when_the_one_before_is_found_dead() -> None:
    node = responder()
    node.step([], [ask("a1")], silent, 0)
    answers = []
    for now in range(1, 20):
        asks = [ask("a1"), ask("b1", beat=now)]  # the killed one left its ask
        answers += node.step([], asks, lambda rank: b"the last sign of life", now).answers
    assert [a for a in answers if a.to == "b1" and a.run == "/out/v1"]
    assert not [a for a in answers if a.code]


def test_a_second_node_of_a_rank_that_lives_is_refused_with_both_hosts() -> None:
    node = responder(nodes=3)
    node.step([], [ask("a1", host="nA")], silent, 0)
    answers, faults = [], []
    for now in range(1, 20):
        orders = node.step([], [ask("b1", host="nB", beat=now)], sign(now), now)
        answers += orders.answers
        faults += orders.faults
    assert {a.code for a in answers} == {EXIT_TAKEN}
    assert all("nA" in a.words and "nB" in a.words and "node 1" in a.words for a in answers)
    assert [(f.rank, f.host, f.code) for f in faults] == [
        (1, "nB", EXIT_TAKEN)
    ]  # the job lacks node 2: it is told too


def test_a_job_that_has_all_its_nodes_goes_on_without_the_second_node_of_a_rank() -> None:
    node = responder()
    node.step([], [ask("a1", host="nA")], silent, 0)
    faults = []
    for now in range(1, 20):
        orders = node.step([], [ask("b1", beat=now)], sign(now), now)
        faults += orders.faults
    assert faults == []


def test_two_living_nodes_of_a_rank_that_were_there_before_node_0_are_both_told() -> None:
    node = responder()
    answers, faults = [], []
    for now in range(12):
        asks = [ask("a1", host="nA", beat=now), ask("b1", host="nB", beat=now)]
        orders = node.step([], asks, silent, now)
        answers += orders.answers
        faults += orders.faults
    assert {a.to for a in answers} == {"a1", "b1"}
    assert {a.code for a in answers} == {EXIT_TAKEN}
    assert faults


def test_of_two_asks_of_a_rank_the_living_one_is_answered() -> None:
    node = responder()
    answers = []
    for now in range(12):
        asks = [ask("dead", host="nA"), ask("alive", host="nB", beat=now)]
        answers += node.step([], asks, silent, now).answers
    assert {a.to for a in answers} == {"alive"}
    assert answers[0].run == "/out/v1"


def test_a_node_that_is_killed_while_it_is_watched_is_no_rival_of_the_next_one() -> None:
    node = responder()
    node.step([], [ask("a1", host="nA")], silent, 0)
    answers = []
    for now in range(1, 30):
        asks = [ask("a1"), ask("b1", beat=min(now, 7))]  # b1 is killed at 7
        asks += [ask("c1", beat=now)] if now >= 8 else []
        answers += node.step([], asks, silent, now).answers
    assert {a.to for a in answers if a.run} == {"a1", "c1"}
    assert [a for a in answers if a.code] == []


def test_a_node_with_another_spec_is_told_the_keys() -> None:
    node = responder()
    orders = node.step([], [ask("x1", host="nX", keys=OTHER)], silent, 0)
    (answer,) = orders.answers
    assert (answer.code, answer.run) == (EXIT_DIFFERS, None)
    assert "swift.beta, swift.max_grad_norm" in answer.words
    assert "nX" in answer.words
    assert "n0" in answer.words
    assert orders.faults == []  # it may still find a node 0 of its own
    orders = node.step([], [ask("x1", host="nX", keys=OTHER, leaves="h0")], silent, 1)
    assert [(f.rank, f.host, f.code) for f in orders.faults] == [(1, "nX", EXIT_DIFFERS)]
    assert "swift.beta" in orders.faults[0].words
    assert node.step([], [ask("x1", keys=OTHER, leaves="h0")], silent, 2).faults == []


def test_a_node_that_gives_up_because_of_another_node_0_is_no_fault() -> None:
    left = msgspec.structs.replace(ask("x1", keys=OTHER, leaves="h9"), to=["h0", "h9"])
    assert responder().step([], [left], silent, 0).faults == []


def test_a_job_that_has_its_node_does_not_care_for_another_job_with_its_variables() -> None:
    node = responder()
    node.step([], [ask("a1")], silent, 0)
    orders = node.step([], [ask("x1", keys=OTHER, leaves="h0")], silent, 1)
    assert (orders.answers, orders.faults) == ([], [])


def test_a_second_node_0_is_told_that_the_first_one_lives() -> None:
    node = responder()
    orders = []
    for beat in range(3):
        second = msgspec.structs.replace(hello("hB", host="nB"), beat=beat)
        orders.append(node.step([second], [], silent, beat))
    assert orders[0].answers == []  # it may be dead already
    assert orders[1].answers[0].to == "hB"
    assert orders[1].answers[0].code == EXIT_TAKEN
    assert len(orders[1].faults) == 1
    assert orders[2].faults == []


def test_differing_keys() -> None:
    assert differing({"a": "1", "b": "1"}, {"b": "2", "c": "1"}) == ["a", "b", "c"]
    assert differing(KEYS, dict(reversed(KEYS.items()))) == []
    assert spec_digest(KEYS) == spec_digest(dict(reversed(KEYS.items())))


def test_the_keys_of_a_spec() -> None:
    """They tell specs apart, and hold no value; where the output is does not matter."""
    spec = "name: a\nbackend: platform\nresources: {nodes: 2}\nswift: {beta: 0.04, dataset: [甲, 乙]}\n"
    keys = spec_keys(planned(spec).tree)
    assert {"name", "backend", "resources.nodes", "swift.beta", "swift.dataset"} <= set(keys)
    assert "0.04" not in str(keys)
    assert keys == spec_keys(planned(f"{spec}output: elsewhere\n").tree)
    changed = spec_keys(planned(spec.replace("[甲, 乙]", "[乙, 甲]")).tree)
    assert differing(keys, changed) == ["swift.dataset"]
    overridden = spec_keys(planned(spec, environ={"PRL_BETA": "0.1"}).tree)
    assert differing(keys, overridden) == ["swift.beta"]
    assert overridden == spec_keys(planned(spec, sets=["swift.beta=0.1"]).tree)


# ------------------------------------------------------------------ all together, on a simulated disk
class Disk:
    """Files that another node sees only some time after they were written, as on NFS."""

    def __init__(self, delay: float) -> None:
        self.delay = delay
        self.now = 0.0
        self._files: dict[str, list[tuple[float, int, object]]] = {}

    def write(self, name: str, content: object, who: int) -> None:
        """Replace a file. None: remove it."""
        versions = self._files.setdefault(name, [])
        versions.append((self.now, who, content))
        del versions[:-40]  # older ones are seen by nobody any more

    def read(self, beginning: str, who: int) -> list[object]:
        """The content of all files whose names begin so, as the process `who` sees them now."""
        found = []
        for name, versions in self._files.items():
            seen = [c for at, writer, c in versions if writer == who or at + self.delay <= self.now]
            if name.startswith(beginning) and seen and seen[-1] is not None:
                found.append(seen[-1])
        return found


class Process:
    """One start of `prl-submit` on a node: it lives until it is killed."""

    def __init__(self, disk: Disk, rank: int, nodes: int, number: int, run: str) -> None:
        self.disk, self.rank, self.nodes, self.number, self.run = disk, rank, nodes, number, run
        self.nonce = f"nonce{number}"
        self.joined: str | None = None
        self.refused = ""
        self.steps = self._first() if rank == 0 else self._other()

    def _first(self) -> Iterator[None]:
        claim = Claim(self.nonce, f"n{self.number}", SPEC, PACE, self.disk.now)
        while True:
            word = claim.step(self._hellos(), self._answers(), self.disk.now)
            if word is None:
                break
            if isinstance(word, NodeAnswer):
                self.refused = word.words
                return
            self.disk.write("hello", word, self.number)
            yield
        self.joined = self.run
        answer = NodeAnswer(sender=self.nonce, to="", run=self.run)
        me = NodeHello(nonce=self.nonce, host=f"n{self.number}", spec=SPEC)
        node = Responder(me, KEYS, self.nodes, PACE, answer)
        while True:
            asks = [ask for ask in self.disk.read("ask", self.number) if isinstance(ask, NodeAsk)]
            orders = node.step(self._hellos(), asks, silent, self.disk.now)
            self.disk.write("hello", orders.hello, self.number)
            for answer in orders.answers:
                self.disk.write(f"answer.{answer.to}.{answer.sender}", answer, self.number)
            yield

    def _other(self) -> Iterator[None]:
        node = Asker(self.nonce, self.rank, f"n{self.number}", KEYS, PACE, self.disk.now)
        while True:
            word = node.step(self._hellos(), self._answers(), self.disk.now)
            if isinstance(word, NodeAnswer):
                self.joined, self.refused = word.run, word.words
                self.disk.write(f"ask.{self.nonce}", None, self.number)
                return
            self.disk.write(f"ask.{self.nonce}", word, self.number)
            yield

    def _hellos(self) -> list[NodeHello]:
        return [h for h in self.disk.read("hello", self.number) if isinstance(h, NodeHello)]

    def _answers(self) -> list[NodeAnswer]:
        found = self.disk.read(f"answer.{self.nonce}.", self.number)
        return [a for a in found if isinstance(a, NodeAnswer)]


@pytest.mark.parametrize("nodes", [2, 4])
@pytest.mark.parametrize("delay", [0.0, 3.0])
@pytest.mark.parametrize("seed", range(13))
def test_any_order_of_starts_and_kills_ends_in_one_run(nodes: int, delay: float, seed: int) -> None:
    """Processes are started minutes apart, killed at any instant and started again: all join the present run."""
    chance = random.Random(f"{nodes} {delay} {seed}")
    disk = Disk(delay)
    count = 0

    def process(rank: int) -> Process:
        nonlocal count
        count += 1
        return Process(disk, rank, nodes, count, "/out/v1")

    _leave_old_job(disk, nodes)
    begins = {rank: chance.choice([0.0, chance.uniform(0, 120)]) for rank in range(nodes)}
    kills = {rank: chance.uniform(0, 130) for rank in range(nodes) if chance.random() < 0.5}
    living: dict[int, Process] = {}
    while disk.now < 200:
        disk.now += chance.uniform(0.2, 0.6)
        for rank in range(nodes):
            if rank in living and rank in kills and disk.now > kills[rank]:
                del living[rank], kills[rank]  # kill -9: its files stay
                begins[rank] = disk.now + 10
            if rank not in living and begins[rank] <= disk.now:
                living[rank] = process(rank)
            if rank in living:
                next(living[rank].steps, None)
    assert {rank: living[rank].joined for rank in range(nodes)} == dict.fromkeys(
        range(nodes), "/out/v1"
    )


def _leave_old_job(disk: Disk, nodes: int) -> None:
    """All that an earlier job with the same variables can leave, which leads to another run."""
    old = NodeHello(nonce="old", host="gone", spec=SPEC, beat=99)
    disk.write("hello", old, -1)
    for rank in range(1, nodes):
        disk.write(f"ask.old{rank}", ask(f"old{rank}", to="old", rank=rank), -1)
        answer = NodeAnswer(sender="old", to=f"old{rank}", run="/out/v0")
        disk.write(f"answer.old{rank}.old", answer, -1)
    disk.now = 10.0


# ------------------------------------------------------------------ no clocks
def test_nothing_here_reads_a_time_of_day_or_the_time_of_a_file() -> None:
    """The clocks of the nodes may differ by hours. The sign of life's own module is another matter."""
    folder = Path(prl_submit.backends.platform.__file__).parent
    ours = "handshake node_folder answering pasted_node stop_signals earlier_runs".split()
    allowed = {"monotonic", "sleep"}
    for name in ours:
        tree = ast.parse((folder / f"{name}.py").read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                assert not node.attr.startswith(
                    ("st_atime", "st_ctime", "st_mtime", "getmtime", "utime")
                ), f"{name}: {node.attr}"
                if isinstance(node.value, ast.Name) and node.value.id == "time":
                    assert node.attr in allowed, f"{name}: time.{node.attr}"
            modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert "datetime" not in modules, name
