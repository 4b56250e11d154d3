"""Nodes as a platform's queue gives them: containers that each run one pasted command, on this machine.

    with PlatformNodes.open(folder, count=2, shared=[disk]) as nodes:
        started = [nodes.start(rank, "bash /disk/launch.sh", environ) for rank in (0, 1)]
        codes = [node.wait() for node in started]

A node has a network, an address, a host name, process ids, /tmp, /dev/shm and /etc/hosts of its own. All
other files are this machine's. Killing a node's first process kills the node as a whole.

All nodes live in the process ids of one process, the switch, which ends when this process ends, however
it ends. The kernel then kills every process of the nodes, and removes their networks and mounts. So
nothing can be left, and nothing has a name that a second set of nodes could find taken.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from tools.clusters.processes import (
    ClusterError,
    all_processes,
    send,
    stat_of,
    wait_until,
)

NODE_SCRIPT = Path(__file__).with_name("platform_node.sh")
#: Also where `ip` is, which Debian keeps from users' PATH.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PROGRAMS = ("ip", "unshare", "nsenter", "hostname", "mount")
#: Process 1 of the nodes' process ids. It ends when its stdin ends.
NEW_PROCESSES = ("--net", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--")
NEW_NODE = ("unshare", "--net", "--uts", "--mount", "--")
SWITCH = "ip link add br0 type bridge && ip link set br0 up && echo ready && exec cat >/dev/null"


def available() -> str | None:
    """What this machine lacks, in a sentence; None if nodes can be made."""
    missing = [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]
    if missing:
        return f"{', '.join(missing)} not found: sudo tools/install-platform.sh"
    words = [*_unshare(), "--net", "--uts", "--pid", "--mount", "--fork", "--mount-proc", "true"]
    tried = subprocess.run(words, env={"PATH": PATH}, capture_output=True, text=True, check=False)
    if tried.returncode == 0:
        return None
    return f"this user may not make namespaces ({tried.stderr.strip()}): run the tests as root"


def _unshare() -> list[str]:
    """The beginning of a command in new namespaces: only root may make them without one for users."""
    return ["unshare", *(() if os.geteuid() == 0 else ("--user", "--map-root-user"))]


def children_of(parent: int) -> list[int]:
    """The children of a process."""
    seen = {pid: stat_of(pid) for pid in all_processes()}
    return [pid for pid, stat in seen.items() if stat is not None and stat[1] == parent]


def is_first_process(pid: int) -> bool:
    """True if the process is number 1 in its own process ids."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    (line,) = [line for line in status.splitlines() if line.startswith("NSpid:")]
    return line.split()[-1] == "1"


class Node:
    """A node that was started; PlatformNodes.start makes one."""

    def __init__(
        self, rank: int, name: str, port: str, out: Path, process: subprocess.Popen[bytes]
    ) -> None:
        self.rank = rank
        self.name = name
        self.port = port  # the switch's end of the node's network cable
        self.out = out
        self._process = process

    @property
    def text(self) -> str:
        """What the node has printed so far, on stdout and stderr."""
        return self.out.read_text(errors="replace")

    @property
    def stdout(self) -> IO[bytes] | None:
        """The pipe to the node's output, where `start` was asked for one."""
        return self._process.stdout

    @property
    def ended(self) -> bool:
        """True if the node's first process has ended."""
        return self._process.poll() is not None

    def wait(self, timeout: float = 120) -> int:
        """Wait for the end of the node's first process; its exit code. After SIGKILL the code means nothing."""
        try:
            return self._process.wait(None if math.isinf(timeout) else timeout)
        except subprocess.TimeoutExpired:
            raise ClusterError(
                f"{self.name} has not ended within {timeout:g} s:\n{self.text[-3000:]}"
            ) from None

    def first_process(self, timeout: float = 10) -> int:
        """This machine's id of the node's process 1. Raises ClusterError if the node has ended."""
        found: list[int] = []

        def look() -> bool:
            if self.ended:
                raise ClusterError(f"{self.name} has ended:\n{self.text[-3000:]}")
            found[:] = [
                grandchild
                for child in children_of(self._process.pid)
                for grandchild in children_of(child)
                if is_first_process(grandchild)
            ]
            return bool(found)

        wait_until(look, f"{self.name} runs its command", timeout)
        return found[0]

    def processes(self) -> list[int]:
        """This machine's ids of all processes of the node."""
        own = os.readlink(f"/proc/{self.first_process()}/ns/pid")
        pids = []
        for pid in all_processes():
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{pid}/ns/pid") == own:
                    pids.append(pid)
        return pids

    def kill(self) -> None:
        """End every process of the node at once, by SIGKILL. Other nodes see closed connections.

        After `unplug` they see nothing, as where a machine has lost its power.
        """
        os.kill(self.first_process(), signal.SIGKILL)
        self.wait()

    def terminate(self) -> None:
        """Send SIGTERM to process 1, as a platform does when it stops a job."""
        os.kill(self.first_process(), signal.SIGTERM)

    def freeze(self) -> None:
        """Stop every process of the node, until `thaw`."""
        wait_until(self._freeze_once, f"{self.name} stands still", 10)

    def _freeze_once(self) -> bool:
        pids = self.processes()
        send(pids, signal.SIGSTOP)
        return all((stat := stat_of(pid)) is None or stat[0] in "TZX" for pid in pids)

    def thaw(self) -> None:
        """Let the processes go on after `freeze`."""
        send(self.processes(), signal.SIGCONT)


class PlatformNodes:
    """The nodes of one job and their network; `open` makes them."""

    def __init__(
        self, root: Path, names: Sequence[str], shared: Sequence[Path], late: Sequence[str]
    ) -> None:
        self.root = root
        self.names = tuple(names)
        self._shared = [path.resolve() for path in shared]
        self._known = [name for name in names if name not in late]
        self._started: list[Node] = []
        self._switch = subprocess.Popen(
            [*_unshare(), *NEW_PROCESSES, "sh", "-c", SWITCH],
            env={"PATH": PATH},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C in the terminal must not end the network before the nodes
        )

    @classmethod
    def open(
        cls,
        root: Path,
        *,
        count: int = 2,
        names: Sequence[str] | None = None,
        shared: Sequence[Path] = (),
        late: Sequence[str] = (),
    ) -> PlatformNodes:
        """Make the network. `root` gets the nodes' output and their own folders.

        `shared`: folders below /tmp that the nodes see too; they see everything outside /tmp.
        `late`: host names that only the host itself can resolve, until `resolve` is called.
        """
        if lack := available():
            raise ClusterError(lack)
        root.mkdir(parents=True, exist_ok=True)
        names = names or [f"node-{rank}" for rank in range(count)]
        nodes = cls(root, names, shared, late)
        assert nodes._switch.stdout
        if nodes._switch.stdout.readline() != b"ready\n":
            nodes.close()
            raise ClusterError("the nodes' network could not be made")
        return nodes

    def start(
        self,
        rank: int,
        command: str,
        environ: Mapping[str, str],
        *,
        private: Sequence[Path] = (),
        folder: str | Path = "/tmp",
        pipe: bool = False,
    ) -> Node:
        """Start a node, which runs `bash -c COMMAND` in `folder` as its first process.

        A node of this rank may have been started before: the platform starts it again.
        `private`: folders of which this node has an own one, empty at first, at the same path.
        `pipe`: the output goes to a pipe, the node's `stdout`, and not to a file.
        """
        name = self.names[rank]
        number = len(self._started)
        self._remove_ended(rank)
        self._write_hosts(rank)
        out = self.root / f"out{rank}.{number}"
        port = f"port{number}"
        tmp = self.root / f"tmp{rank}.{number}"
        tmp.mkdir()
        place = (name, self._address(rank), port, self._hosts(rank), tmp)
        words = (*place, folder, command, *self._mounts(rank, private))
        with open(out, "wb") as file:
            process = subprocess.Popen(
                [*self._enter(), *NEW_NODE, NODE_SCRIPT, *words],
                env={"PATH": PATH, "HOME": "/tmp/home", "HOSTNAME": name, **environ},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if pipe else file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        node = Node(rank, name, port, out, process)
        self._started.append(node)
        return node

    def unplug(self, node: Node) -> None:
        """Cut the node's network: nobody hears of it any more, not even that its connections are closed."""
        self._switch_port(node, "set", "down")

    def _switch_port(self, node: Node, verb: str, *words: str) -> None:
        """Change the switch's end of the node's network cable, if it is still there."""
        subprocess.run(
            [*self._enter(), "ip", "link", verb, node.port, *words],
            env={"PATH": PATH},
            stderr=subprocess.DEVNULL,
            check=False,
        )

    def _remove_ended(self, rank: int) -> None:
        """Remove the cables of the nodes of this rank that have ended.

        The kernel keeps a network as long as it has a connection to close. Where the other end does not answer
        that takes minutes, in which the old network would answer under the address of the new node.
        """
        for node in self._started:
            if node.rank == rank and node.ended:
                self._switch_port(node, "delete")

    def resolve(self, name: str) -> None:
        """From now on every node can resolve this name of a node, which was late."""
        self._known.append(name)
        late = self.names.index(name)
        for rank in range(len(self.names)):
            if rank != late:
                with open(self._hosts(rank), "a") as file:
                    file.write(self._line_of_hosts(late))

    def close(self) -> None:
        """Kill all nodes and remove the network. It may be called twice."""
        assert self._switch.stdin
        assert self._switch.stdout
        self._switch.stdin.close()
        self._switch.wait(10)
        self._switch.stdout.close()
        for node in self._started:
            node.wait(10)
            if node.stdout:
                node.stdout.close()

    def __enter__(self) -> PlatformNodes:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _enter(self) -> list[str]:
        """The beginning of a command in the network, the mounts and the process ids of the switch."""
        (switch,) = children_of(self._switch.pid)
        user = () if os.geteuid() == 0 else ("--user", "--preserve-credentials")
        return ["nsenter", f"--target={switch}", *user, "--net", "--mount", "--pid", "--"]

    def _address(self, rank: int) -> str:
        return f"10.77.0.{rank + 1}"

    def _hosts(self, rank: int) -> Path:
        return self.root / f"hosts{rank}"

    def _line_of_hosts(self, rank: int) -> str:
        return f"{self._address(rank)} {self.names[rank]}\n"

    def _write_hosts(self, rank: int) -> None:
        """Write the node's /etc/hosts."""
        known = [
            self._line_of_hosts(other)
            for other, name in enumerate(self.names)
            if other == rank or name in self._known
        ]
        self._hosts(rank).write_text("127.0.0.1 localhost\n" + "".join(known))

    def _mounts(self, rank: int, private: Sequence[Path]) -> list[str]:
        """The FROM=TO for the node's script. A later one may lie in an earlier one."""
        own = {path.resolve(): self.root / f"own{rank}" / str(i) for i, path in enumerate(private)}
        for path, folder in own.items():
            path.mkdir(parents=True, exist_ok=True)
            folder.mkdir(parents=True, exist_ok=True)
        seen = sorted({*self._shared, *_of_python()})
        return [f"{path}={path}" for path in seen] + [f"{own[path]}={path}" for path in own]


def _of_python() -> list[Path]:
    """The folders below /tmp without which Python and this project would be missing on a node."""
    project = Path(__file__).resolve().parents[2]
    folders = [project, *(Path(name).resolve() for name in (sys.prefix, sys.base_prefix))]
    return [folder for folder in folders if folder.is_relative_to("/tmp")]
