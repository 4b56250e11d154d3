"""How the nodes of one job find the same run: what they say to each other and what they conclude. Pure.

A platform starts the same command on every node, minutes apart and in any order, and may start it again.
Earlier jobs with the same variables leave files. So no node believes a file because the file is there:

- Node 0 says hello with a nonce that it has just made. Its responder repeats the hello as long as the job lives.
- Another node asks with a nonce that it has just made, and with the nonces of all hellos that it reads.
- Node 0 answers only an ask that has its own nonce, so the asking node has read this very hello.
- A node takes only an answer to its own nonce, from a node 0 whose hello it still reads.

Nobody compares times of day. A process that lives counts its beats in its file; a file whose beat does not
move is nobody's. `now` is always this process's own monotonic clock.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

#: sysexits.h's EX_TEMPFAIL: another living process has this node's place. launch.sh exits with it too.
EXIT_TAKEN = 75
#: sysexits.h's EX_CONFIG: the nodes were not started with the same spec.
EXIT_DIFFERS = 78
#: The beats that a process must have counted while it is watched, to be taken for alive. The first change can
#: be a delay of the shared disk: the last beat of a process that is dead arrives late.
_ALIVE_MOVES = 2
#: So many differing keys are named.
_KEYS_NAMED = 8


class Pace(Struct, frozen=True):
    """How fast the nodes talk, in seconds.

    `poll`: between two looks at the folder, and between two beats. `hold`: how long node 0 listens for
    another node 0 before it makes a run. `differs`: how long a node whose spec differs from that of the node 0
    it found still waits for a node 0 of its own spec, because two jobs may have the same variables. `watch`:
    how long two processes of one rank are watched, to learn which of them live.
    """

    poll: float = 0.5
    hold: float = 5.0
    differs: float = 20.0
    watch: float = 10.0
    #: Between two looks of the responder when all nodes have come. It must be well below `hold`.
    calm: float = 1.5

    def poll_of(self, nodes: int) -> float:
        """Seconds between two looks of a node that waits: more if very many nodes look at one folder.

        Never so many that `watch` would see a living node count fewer than three beats.
        """
        return self.poll * min(6.0, max(1.0, nodes / 50))


PACE = Pace()


#: A nonce or a digest. It is a part of file names, so a file that has anything else there is not believed.
Word = Annotated[str, Meta(pattern=r"\A[0-9A-Za-z]{1,64}\Z")]
Count = Annotated[int, Meta(ge=0, le=1 << 53)]


class NodeHello(Struct, frozen=True, kw_only=True):
    """What node 0 says. `spec`: the digest of its spec."""

    nonce: Word
    host: str
    spec: Word
    beat: Count = 0


class NodeAsk(Struct, frozen=True, kw_only=True):
    """What another node says.

    `keys`: a digest of each value of its spec. `to`: the nonces of all hellos that it has read. `leaves`: the
    nonce of the node 0 because of which it gives up; None as long as it waits.
    """

    nonce: Word
    rank: Count
    host: str
    keys: dict[str, str]
    to: list[str] = []
    beat: Count = 0
    leaves: str | None = None


class NodeAnswer(Struct, frozen=True, kw_only=True):
    """What node 0 answers: the run to join, or why there is none, with the exit code.

    `sender`: node 0's nonce; `to`: the asking node's nonce. `token`: the token in the run's run.json.
    """

    sender: Word
    to: Word
    run: Annotated[str, Meta(pattern=r"\A[^\x00]+\Z")] | None = None
    token: str | None = None
    code: Annotated[int, Meta(ge=0, le=255)] = 0
    words: str = ""


#: What a node writes into the folder.
Said = NodeHello | NodeAsk | NodeAnswer


class NodeFault(Struct, frozen=True):
    """Why the job cannot begin: what the process on `host`, which says that it is node `rank`, has done.

    `code`: its exit code.
    """

    rank: int
    host: str
    words: str
    code: int


def spec_digest(keys: Mapping[str, str]) -> str:
    """The digest of a whole spec, from the digests of its values."""
    return digest(sorted(keys.items()))


def digest(value: Any) -> str:
    """16 hexadecimal digits that stand for a value, and from which nobody can read the value."""
    return hashlib.sha256(msgspec.json.encode(value)).hexdigest()[:16]


def differing(mine: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    """The keys whose values two specs do not have in common."""
    return sorted(key for key in {*mine, *theirs} if mine.get(key) != theirs.get(key))


class Asker:
    """A node that is not node 0, until it has its answer."""

    def __init__(
        self, nonce: str, rank: int, host: str, keys: dict[str, str], pace: Pace, now: float
    ) -> None:
        #: What this node has said last.
        self.ask = NodeAsk(nonce=nonce, rank=rank, host=host, keys=keys)
        self._spec = spec_digest(keys)
        self._pace = pace
        self.began = now
        self._refused_at: float | None = None
        #: The hellos of the last look, for the message after the time-out.
        self.hellos: list[NodeHello] = []

    def step(
        self, hellos: Sequence[NodeHello], answers: Sequence[NodeAnswer], now: float
    ) -> NodeAsk | NodeAnswer:
        """What to do after a look at the folder: write the ask and look again, or obey the answer."""
        self.hellos = list(hellos)
        specs = {hello.nonce: hello.spec for hello in hellos}
        valid = [a for a in answers if a.to == self.ask.nonce and a.sender in specs]
        for answer in valid:
            if specs[answer.sender] == self._spec:
                return answer
        if not valid:
            self._refused_at = None
        elif self._refused_at is None:
            self._refused_at = now
        elif now - self._refused_at >= self._pace.differs:
            return valid[0]
        self.ask = msgspec.structs.replace(
            self.ask, to=sorted(specs), beat=self.ask.beat + 1, leaves=None
        )
        return self.ask

    def farewell(self, answer: NodeAnswer) -> NodeAsk | None:
        """The last ask of a node that gives up because its spec differs, so that node 0 ends too; else None."""
        if answer.run is not None or answer.code != EXIT_DIFFERS:
            return None
        return msgspec.structs.replace(self.ask, leaves=answer.sender)


class Claim:
    """Node 0 before it finds or makes the run, while it looks for another living node 0 of the same job."""

    def __init__(self, nonce: str, host: str, spec: str, pace: Pace, now: float) -> None:
        self._hello = NodeHello(nonce=nonce, host=host, spec=spec)
        self._pace = pace
        self._began = now
        self._others = _Others()

    def step(
        self, hellos: Sequence[NodeHello], answers: Sequence[NodeAnswer], now: float
    ) -> NodeHello | NodeAnswer | None:
        """The hello to write; or the refusal to obey, and to write for the other node 0; None: it is alone.

        A hello that stands where this process has written its own was written later. So what stands there
        before the first step is no matter.
        """
        me = self._hello
        for answer in answers:
            if answer.to == me.nonce and answer.code == EXIT_TAKEN:
                return answer
        if me.beat:
            for other in self._others.living(me, hellos):
                return _two_first_nodes(me, other)
        if me.beat and now - self._began >= self._pace.hold:
            return None
        self._hello = msgspec.structs.replace(me, beat=me.beat + 1)
        return self._hello


class _Others:
    """Counts the hellos of other processes that say that they are node 0 of this job."""

    def __init__(self) -> None:
        self._beats: dict[str, set[int]] = {}

    def living(self, me: NodeHello, hellos: Sequence[NodeHello]) -> list[NodeHello]:
        """Those that have said hello more than once since this process did.

        Not once, because the responder of a node 0 that has just been killed may have been writing.
        """
        others = [h for h in hellos if h.spec == me.spec and h.nonce != me.nonce]
        for other in others:
            self._beats.setdefault(other.nonce, set()).add(other.beat)
        return [h for h in others if len(self._beats[h.nonce]) >= _ALIVE_MOVES]


def _two_first_nodes(me: NodeHello, other: NodeHello) -> NodeAnswer:
    """The refusal for both of two processes that say that they are node 0."""
    words = _two_of_one_rank(0, [me.host, other.host])
    return NodeAnswer(sender=me.nonce, to=other.nonce, code=EXIT_TAKEN, words=words)


def _two_of_one_rank(rank: int, hosts: Iterable[str]) -> str:
    """Words for both of two living processes of one rank."""
    return (
        f"{_and([f'a process on {host}' for host in sorted(hosts)])} say that they are node {rank}"
    )


def _and(parts: Sequence[str]) -> str:
    return " and ".join(parts) if len(parts) < 3 else f"{', '.join(parts[:-1])} and {parts[-1]}"


class Orders(Struct):
    """What the responder does after a look at the folder."""

    hello: NodeHello
    answers: list[NodeAnswer] = []
    faults: list[NodeFault] = []


class _Contest(Struct):
    """Several processes of one rank, which are watched until it is clear which of them live."""

    until: float
    #: For each process, by its nonce: the last beat that was seen, and how often the beat has moved.
    beats: dict[str, tuple[Any, int]]


class Responder:
    """Node 0 as long as its job lives: it answers the other nodes.

    `run`, `token`: the run that the nodes join. `ending`: there is no run to join; the answer for all.
    """

    def __init__(
        self,
        hello: NodeHello,
        keys: Mapping[str, str],
        nodes: int,
        pace: Pace,
        answer: NodeAnswer,
    ) -> None:
        self._hello = hello
        self._keys = keys
        self._nodes = nodes
        self._pace = pace
        self._answer = answer
        #: The ask that was answered last, of each rank.
        self._granted: dict[int, NodeAsk] = {}
        self._refused: dict[str, NodeAnswer] = {}
        self._contests: dict[int, _Contest] = {}
        self._others = _Others()

    @property
    def is_complete(self) -> bool:
        """True if every other node has been answered once, or takes part."""
        return not self.missing

    @property
    def missing(self) -> list[int]:
        """The ranks of which nothing is known yet."""
        return [rank for rank in range(1, self._nodes) if rank not in self._granted]

    def note_present(self, rank: int, host: str) -> None:
        """A node takes part in this attempt without having asked: it went on when node 0 was started again."""
        self._granted.setdefault(rank, NodeAsk(nonce="", rank=rank, host=host, keys={}))

    def step(
        self,
        hellos: Sequence[NodeHello],
        asks: Sequence[NodeAsk],
        sign: Callable[[int], bytes],
        now: float,
    ) -> Orders:
        """Answer the asks. `sign`: the sign of life of a rank in the run, which changes while its launch.sh lives."""
        me = msgspec.structs.replace(self._hello, beat=self._hello.beat + 1)
        self._hello = me
        orders = Orders(hello=me)
        self._answer_first_nodes(hellos, orders)
        here = [ask for ask in asks if me.nonce in ask.to and 0 < ask.rank < self._nodes]
        for ask in here:
            if spec_digest(ask.keys) != me.spec:
                self._answer_differing(ask, orders)
        same = [ask for ask in here if spec_digest(ask.keys) == me.spec]
        for rank in {ask.rank for ask in same}:
            self._answer_rank(rank, [a for a in same if a.rank == rank], sign, now, orders)
        return orders

    def _answer_first_nodes(self, hellos: Sequence[NodeHello], orders: Orders) -> None:
        """Another node 0 of this job, that was started after this one, is told that this one lives."""
        for other in self._others.living(self._hello, hellos):
            answer = _two_first_nodes(self._hello, other)
            self._tell(answer, 0, other.host, orders)

    def _tell(self, answer: NodeAnswer, rank: int, host: str, orders: Orders) -> None:
        """Refuse a process. If the job has not all its nodes, it cannot begin, because one is not as it says."""
        orders.answers.append(answer)
        if answer.to not in self._refused and not self.is_complete:
            orders.faults.append(NodeFault(rank, host, answer.words, answer.code))
        self._refused[answer.to] = answer

    def _answer_differing(self, ask: NodeAsk, orders: Orders) -> None:
        """A node of another spec is told so. If it gives up because of that, this job lacks the node."""
        if ask.rank in self._granted:
            return  # this job has its node; the other one is of another job with the same variables
        keys = differing(self._keys, ask.keys)
        named = ", ".join(keys[:_KEYS_NAMED]) + (", …" if len(keys) > _KEYS_NAMED else "")
        words = (
            f"the spec on node {ask.rank} ({ask.host}) is not the one on node 0 ({self._hello.host}); "
            f"they differ in: {named}"
        )
        answer = self._to(ask, NodeAnswer(sender="", to="", code=EXIT_DIFFERS, words=words))
        orders.answers.append(answer)
        if ask.leaves == self._hello.nonce:
            self._tell(answer, ask.rank, ask.host, orders)

    def _answer_rank(
        self,
        rank: int,
        asks: list[NodeAsk],
        sign: Callable[[int], bytes],
        now: float,
        orders: Orders,
    ) -> None:
        """Answer the asks of one rank. If there are several processes of it, they are watched first."""
        granted = self._granted.get(rank)
        orders.answers += [self._refused[ask.nonce] for ask in asks if ask.nonce in self._refused]
        rivals = [a for a in asks if a.nonce not in self._refused and a != granted]
        if granted is not None:
            orders.answers += [self._to(a, self._answer) for a in asks if a.nonce == granted.nonce]
            rivals = [a for a in rivals if a.nonce != granted.nonce]
        if not rivals:
            self._contests.pop(rank, None)
        elif granted is None and len(rivals) == 1:
            self._grant(rivals[0], orders)
        else:
            self._watch(asks, rivals, sign(rank), now, orders)

    def _grant(self, ask: NodeAsk, orders: Orders) -> None:
        self._granted[ask.rank] = ask
        self._contests.pop(ask.rank, None)
        orders.answers.append(self._to(ask, self._answer))

    def _watch(
        self,
        asks: list[NodeAsk],
        rivals: list[NodeAsk],
        sign: bytes,
        now: float,
        orders: Orders,
    ) -> None:
        """Watch the processes of one rank. When the time is over: grant the one that lives, or refuse several."""
        rank = rivals[0].rank
        granted = self._granted.get(rank)
        beats: dict[str, Any] = {ask.nonce: ask.beat for ask in asks}
        if granted is not None:
            beats[granted.nonce] = (beats.get(granted.nonce), sign)
        contest = self._contests.get(rank)
        if contest is None or not contest.beats.keys() >= beats.keys():
            # With each newcomer the watch begins anew: the one before it may have been killed just now.
            contest = self._contests[rank] = _Contest(now + self._pace.watch, {})
        for nonce, beat in beats.items():
            last, moves = contest.beats.get(nonce, (beat, 0))
            contest.beats[nonce] = (beat, moves + (beat != last))
        if now >= contest.until:
            del self._contests[rank]
            self._decide(rivals, contest, orders)

    def _decide(self, rivals: list[NodeAsk], contest: _Contest, orders: Orders) -> None:
        """After the watch: refuse all newcomers if two processes live, grant the only one that lives."""
        granted = self._granted.get(rivals[0].rank)
        old = [granted] if granted is not None and _lives(granted, contest) else []
        new = [ask for ask in rivals if _lives(ask, contest)]
        if not old and len(new) == 1:
            self._grant(new[0], orders)
        elif new:
            words = _two_of_one_rank(new[0].rank, [ask.host for ask in [*old, *new]])
            for ask in new:
                refusal = NodeAnswer(sender="", to="", code=EXIT_TAKEN, words=words)
                self._tell(self._to(ask, refusal), ask.rank, ask.host, orders)

    def _to(self, ask: NodeAsk, answer: NodeAnswer) -> NodeAnswer:
        """The answer, addressed to the process that asks."""
        return msgspec.structs.replace(answer, sender=self._hello.nonce, to=ask.nonce)


def _lives(ask: NodeAsk, contest: _Contest) -> bool:
    """True if the beat of the process has moved often enough while it was watched."""
    return contest.beats.get(ask.nonce, (None, 0))[1] >= _ALIVE_MOVES
