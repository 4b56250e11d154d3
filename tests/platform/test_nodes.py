"""The nodes themselves: what they share, what they do not, and that nothing of them is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.platform.conftest import OpenNodes
from tools.clusters.platform_nodes import PlatformNodes
from tools.clusters.platform_variables import PLATFORMS, variables
from tools.clusters.processes import ClusterError, is_alive, stat_of, with_environ

PROJECT = Path(__file__).resolve().parents[2]
Eventually = Callable[..., None]


def test_each_node_is_a_machine_of_its_own(open_nodes: OpenNodes) -> None:
    nodes = open_nodes(names=["job-master-0", "job-worker-0"])
    show = 'uname -n; echo "$HOSTNAME" $$; getent hosts job-master-0; echo > /tmp/mine; ls /tmp'
    started = [nodes.start(rank, show, {}) for rank in (0, 1)]
    assert [node.wait() for node in started] == [0, 0]
    for node in started:
        name, mark, address, *files = node.text.splitlines()
        assert (name, mark) == (node.name, f"{node.name} 1")
        assert address.split() == ["10.77.0.1", "job-master-0"]
        assert {"home", "mine"} < set(files)
    assert not Path("/tmp/mine").exists()


def test_nodes_reach_each_other_by_name(open_nodes: OpenNodes) -> None:
    nodes = open_nodes()
    python = f"{sys.executable} -c"
    hear = (
        "import socket as s; c = s.create_server(('0.0.0.0', 7000)).accept()[0]; print(c.recv(9))"
    )
    first = nodes.start(0, f'{python} "{hear}"', {})
    say = "until echo hello >/dev/tcp/node-0/7000; do sleep 0.1; done 2>/dev/null"
    assert nodes.start(1, say, {}).wait() == 0
    assert first.wait() == 0
    assert first.text == "b'hello\\n'\n"


def test_a_node_without_power_says_no_last_word(
    open_nodes: OpenNodes, eventually: Eventually
) -> None:
    """A killed node closes its connections; a node that was unplugged before does not."""
    nodes = open_nodes()
    hear = "import socket as s; c = s.create_server(('0.0.0.0', 7000)).accept()[0]; print(c.recv(9)); print(c.recv(9))"
    say = "until exec 3<>/dev/tcp/node-0/7000; do sleep 0.1; done 2>/dev/null; echo hello >&3; sleep 100"
    for unplugged in (False, True):
        first = nodes.start(0, f'{sys.executable} -u -c "{hear}"', {})
        second = nodes.start(1, say, {})
        eventually(lambda: first.text.startswith("b'hello"))  # noqa: B023  # called at once
        if unplugged:
            nodes.unplug(second)
        second.kill()
        if unplugged:
            time.sleep(1)
            assert not first.ended
            first.kill()
        else:
            assert (first.wait(10), first.text) == (0, "b'hello\\n'\nb''\n")


def test_the_old_network_of_a_node_is_gone(open_nodes: OpenNodes, eventually: Eventually) -> None:
    """A node that has ended, and could not close its connections, no longer answers under its address."""
    nodes = open_nodes()
    hear = "import socket as s; c = s.create_server(('0.0.0.0', 7000)).accept()[0]; print(c.recv(9)); c.recv(9)"
    first = nodes.start(0, f'{sys.executable} -u -c "{hear}"', {})
    say = "until exec 3<>/dev/tcp/node-0/7000; do sleep 0.1; done 2>/dev/null; echo hello >&3; sleep 100"
    second = nodes.start(1, say, {})
    eventually(lambda: first.text.startswith("b'hello"))
    nodes.unplug(first)
    second.kill()
    again = nodes.start(1, "sleep 100", {})
    again.first_process()
    ports = [*nodes._enter(), "ip", "-brief", "link", "show", "master", "br0"]
    shown = subprocess.run(ports, capture_output=True, text=True, check=True).stdout
    names = {line.partition("@")[0] for line in shown.splitlines()}
    assert names == {first.port, again.port}


def test_shared_disk_and_own_disk(open_nodes: OpenNodes, tmp_path: Path) -> None:
    nodes = open_nodes()
    disk = tmp_path / "output"
    write = f"cd {disk} && ls && touch $HOSTNAME"
    assert nodes.start(0, f"mkdir {disk}; {write}", {}).wait() == 0
    shared = nodes.start(1, write, {})
    assert (shared.wait(), shared.text) == (0, "node-0\n")
    for _ in range(2):  # it keeps its own disk when it is started again
        own = nodes.start(1, f"touch {disk}/own; ls {disk}", {}, private=[disk])
        assert (own.wait(), own.text) == (0, "own\n")
    assert sorted(os.listdir(disk)) == ["node-0", "node-1"]


def test_a_name_that_is_late(open_nodes: OpenNodes, eventually: Eventually) -> None:
    nodes = open_nodes(late=["node-0"])
    assert nodes.start(0, "getent hosts node-0", {}).wait() == 0
    waiting = nodes.start(
        1, "getent hosts node-0 || echo no; until getent hosts node-0; do sleep 0.1; done", {}
    )
    eventually(lambda: waiting.text == "no\n")
    nodes.resolve("node-0")
    assert waiting.wait(10) == 0


def test_a_lost_node_takes_all_its_processes_along(
    open_nodes: OpenNodes, eventually: Eventually
) -> None:
    nodes = open_nodes()
    node = nodes.start(1, "setsid sleep 100 & sleep 100 & wait", {})
    eventually(lambda: len(node.processes()) == 3)
    pids = node.processes()
    node.kill()
    assert not any(is_alive(pid) for pid in pids)
    again = nodes.start(1, "uname -n; getent hosts node-1", {})
    assert (again.wait(), again.text) == (0, "node-1\n10.77.0.2       node-1\n")


def test_a_frozen_node_and_a_signalled_one(open_nodes: OpenNodes, eventually: Eventually) -> None:
    nodes = open_nodes()
    node = nodes.start(0, "trap 'echo ends; exit 5' TERM; echo here; sleep 100 & wait", {})
    eventually(lambda: node.text == "here\n")
    node.freeze()
    assert [(stat_of(pid) or "?")[0] for pid in node.processes()] == ["T", "T"]
    node.thaw()
    node.terminate()
    assert (node.wait(), node.text) == (5, "here\nends\n")
    with pytest.raises(ClusterError, match="has ended"):
        node.terminate()


ENDLESS = """
import pathlib, signal, sys
from tools.clusters.platform_nodes import PlatformNodes
nodes = PlatformNodes.open(pathlib.Path(sys.argv[1]))
for rank in 0, 1:
    nodes.start(rank, "setsid sleep 100 & sleep 100", {"PRL_MARK": sys.argv[1]}).first_process()
print("ready", flush=True)
signal.pause()
"""


def test_nothing_is_left_of_a_killed_test(tmp_path: Path, eventually: Eventually) -> None:
    test = subprocess.Popen(
        [sys.executable, "-c", ENDLESS, tmp_path / "nodes"],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
    )
    assert test.stdout
    assert test.stdout.readline() == b"ready\n"
    mark = f"PRL_MARK={tmp_path / 'nodes'}"
    eventually(lambda: len(with_environ(mark)) >= 4)
    test.kill()
    test.communicate()
    eventually(lambda: not with_environ(mark))


def test_every_platform_names_the_nodes() -> None:
    names = ["first", "second", "third"]
    for like in PLATFORMS:
        of_each = [variables(like, rank, names, gpus=8) for rank in range(3)]
        assert all("3" in of_node.values() for of_node in of_each)
        assert all("8" in of_node.values() for of_node in of_each)
        assert all("first" in " ".join(of_node.values()) for of_node in of_each)
        differ = [len({of_node[name] for of_node in of_each}) == 3 for name in of_each[0]]
        assert any(differ), like


def test_by_hand(tmp_path: Path) -> None:
    """`python -m tools.clusters platform` shows every node's output; Ctrl-C ends the nodes as a platform does."""
    hand = [sys.executable, "-m", "tools.clusters", "platform", "--like", "modelarts"]
    done = subprocess.run(
        [*hand, "echo $VC_TASK_INDEX of $VC_WORKER_HOSTS; exit 3"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 3, done.stderr
    assert sorted(done.stdout.splitlines()) == [
        "[node-0] 0 of node-0,node-1",
        "[node-1] 1 of node-0,node-1",
    ]
    waits = subprocess.Popen(
        [*hand, "trap 'echo saved; exit 143' TERM; echo here; sleep 100 & wait"],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert waits.stdout
    here = [waits.stdout.readline(), waits.stdout.readline()]
    assert sorted(here) == ["[node-0] here\n", "[node-1] here\n"]
    waits.send_signal(signal.SIGINT)
    out, err = waits.communicate(timeout=60)
    assert waits.returncode == 143
    assert sorted(out.splitlines()) == ["[node-0] saved", "[node-1] saved"]
    assert "node-1 ended with exit code 143" in err


def test_two_sets_of_nodes_at_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    sets = [PlatformNodes.open(tmp_path_factory.mktemp("nodes")) for _ in range(2)]
    try:
        started = [nodes.start(0, "getent hosts node-0", {}) for nodes in sets]
        assert [node.wait() for node in started] == [0, 0]
    finally:
        for nodes in sets:
            nodes.close()
            nodes.close()
