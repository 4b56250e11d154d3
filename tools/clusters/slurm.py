"""A real Slurm cluster on this machine for tests: all in one folder, without systemd, without root.

    cluster = SlurmCluster.start(folder)
    cluster.run("sbatch", "--wrap", "hostname")
    cluster.stop()

slurmctld, slurmd, slurmdbd, munged and MariaDB are the real programs. A node is a slurmd of its own.

`stop` must find all processes, also those that live longer than the daemon that started them. It knows
them by SLURM_CONF=<the folder's slurm.conf> in their environment. Newer versions start slurmstepd
without that variable; it is known by the log of its node, which it keeps open. All are killed, because
nobody needs the cluster's state any more. Only `stop_controller` lets slurmctld save its state.
"""

from __future__ import annotations

import getpass
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from tools.clusters import processes
from tools.clusters.ports import free_ports
from tools.clusters.processes import (
    ClusterError,
    SlurmError,
    command_of,
    ends_of_logs,
    environ_of,
    has_open,
    kill_all,
    of_slurm,
    send,
    wait_until,
    with_environ,
    with_open_log,
)
from tools.clusters.slurm_configuration import (
    ACCOUNT,
    CGROUP_FREEZER,
    CGROUP_MEMORY,
    LONGEST_ROOT,
    PATH,
    QOS,
    START_TIMEOUT,
    Layout,
    available,
    find_program,
    node_names,
    write_configuration,
)


class PortTakenError(SlurmError):
    """Another program took a port between our choice and the daemon's start."""


class SlurmCluster:
    """A running cluster; `start` makes one."""

    def __init__(self, layout: Layout) -> None:
        self.root = layout.root
        self.nodes = layout.nodes
        self.accounting = layout.accounting
        self.conf = layout.root / "etc" / "slurm.conf"
        #: What a program needs in its environment to talk to this cluster.
        self.environ = {"SLURM_CONF": str(self.conf)}
        self.layout = layout
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._guard: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(
        cls,
        root: Path,
        *,
        nodes: int = 4,
        accounting: bool = False,
        enforce: bool = False,
        cgroup_memory: bool = False,
        proctrack: str = "linuxproc",
        min_job_age: int = 300,
        slurmd_timeout: int = 10,
        message_timeout: int = 10,
        conf_extra: str = "",
    ) -> SlurmCluster:
        """Start a cluster in `root` and wait until all nodes are idle. It ends with this process.

        Partitions: `gpu`, the default; `low`, whose jobs the others preempt and requeue; `short`, with
        a limit of one minute. `enforce`: refuse accounts and QoS that accounting does not know.
        `proctrack`: with `linuxproc` a signal reaches every process of a step, with `cgroup` only the
        first one.
        """
        root = root.resolve()
        if len(str(root)) > LONGEST_ROOT:
            raise SlurmError(f"{root}: longer than {LONGEST_ROOT} characters, too long for sockets")
        if lack := available(accounting=accounting):
            raise SlurmError(lack)
        for attempt in range(3):
            controller, database, *node_ports = free_ports(2 + nodes)
            layout = Layout(
                root=root / f"try{attempt}" if attempt else root,
                nodes=node_names(
                    nodes, controller if cgroup_memory or proctrack == "cgroup" else None
                ),
                controller_port=controller,
                database_port=database,
                node_ports=tuple(node_ports),
                accounting=accounting,
                enforce=enforce,
                cgroup_memory=cgroup_memory,
                proctrack=proctrack,
                min_job_age=min_job_age,
                slurmd_timeout=slurmd_timeout,
                message_timeout=message_timeout,
                conf_extra=conf_extra,
            )
            cluster = cls(layout)
            try:
                cluster.bring_up()
            except PortTakenError:
                cluster.stop()
            except BaseException:
                cluster.stop()
                raise
            else:
                return cluster
        raise SlurmError("three times in a row a port was taken while the daemons started")

    # --- commands

    def run(
        self, *argv: str, timeout: float = 30, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run one of Slurm's commands. Raises SlurmError if it fails and `check` is set."""
        done = subprocess.run(
            [find_program(argv[0]), *argv[1:]],
            env=self._environment(),
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
        if check and done.returncode != 0:
            text = (done.stdout + done.stderr).strip()
            raise SlurmError(f"{' '.join(argv)}: exit code {done.returncode}: {text}")
        return done

    def wait_idle(self, timeout: float = 20) -> None:
        """Wait until every node is idle."""
        self._wait(lambda: set(self.states().values()) == {"idle"}, "all nodes idle", timeout)

    def states(self) -> dict[str, str]:
        """The state of each node by sinfo: idle, mixed, down, …; a `*` means that the node does not answer."""
        done = self.run("sinfo", "-h", "-N", "-p", "gpu", "-o", "%N %T", check=False)
        states = dict(line.split() for line in done.stdout.splitlines())
        return {name: states.get(name, "unknown") for name in self.nodes}

    def jobs(self) -> list[str]:
        """The ids of the jobs that are pending, running or completing."""
        return self.run("squeue", "-h", "-a", "-r", "-o", "%i").stdout.split()

    def cancel_all(self, timeout: float = 20) -> None:
        """Cancel all jobs and wait until none is left."""

        def over() -> bool:
            if not self.jobs():
                return True
            # A job that traps SIGTERM gets KillWait seconds from Slurm; the tests do not wait so long.
            send(self._tasks(), signal.SIGKILL)
            return False

        user = getpass.getuser()
        if self.jobs():
            self.run("scancel", "-u", user)
            self._wait(over, "all jobs cancelled", timeout)

    # --- what tests break

    def stop_controller(self, *, crash: bool = False, timeout: float = 20) -> None:
        """End slurmctld. With `crash` it cannot save its state any more."""
        self._end("slurmctld", signal.SIGKILL if crash else signal.SIGTERM, timeout)

    def start_controller(self, timeout: float = 20) -> None:
        """Start slurmctld if it does not run, and wait until it answers."""
        if "slurmctld" not in self._daemons:
            self._spawn("slurmctld", "slurmctld", "-D")
        self._wait(self._controller_answers, "slurmctld answers", timeout)

    def pause_controller(self) -> None:
        """Stop slurmctld with SIGSTOP: it accepts connections and never answers."""
        self._daemons["slurmctld"].send_signal(signal.SIGSTOP)

    def continue_controller(self) -> None:
        """Let slurmctld go on after `pause_controller`."""
        if daemon := self._daemons.get("slurmctld"):
            daemon.send_signal(signal.SIGCONT)

    def stop_database(self) -> None:
        """End slurmdbd: sacct and sacctmgr fail, and slurmctld keeps its records for later."""
        self._end("slurmdbd", signal.SIGKILL)

    def pause_database(self) -> None:
        """Stop slurmdbd with SIGSTOP: it accepts connections and never answers, until `heal`."""
        self._daemons["slurmdbd"].send_signal(signal.SIGSTOP)

    def start_database(self, timeout: float = 20) -> None:
        """Start slurmdbd if it does not run, and wait until it answers."""
        if "slurmdbd" not in self._daemons:
            self._spawn_slurmdbd()
        self._wait(self._database_answers, "slurmdbd answers", timeout)

    def kill_node(self, name: str) -> None:
        """End a node as if it lost power: all its processes at once, and none reports to slurmctld."""
        self._end(f"slurmd.{name}", signal.SIGKILL)
        tasks = self._tasks(name)
        # slurmstepd first: it would report the end of its tasks to slurmctld.
        kill_all(lambda: self._step_daemons(name))
        send(tasks, signal.SIGKILL)
        kill_all(lambda: self._tasks(name))

    def start_node(self, name: str, timeout: float = 20) -> None:
        """Start a node if it does not run, and wait until slurmctld knows it."""
        if f"slurmd.{name}" in self._daemons:
            return
        now = time.time()
        self._spawn_slurmd(
            name, "-b"
        )  # -b: the node was rebooted; without it slurmctld shows its lost jobs as running
        self._wait(lambda: self._booted(name) >= int(now), f"{name} registers", timeout)

    def heal(self) -> None:
        """Repair the cluster after a test: all daemons run, no job is left, every node is idle."""
        if daemon := self._daemons.get("slurmdbd"):
            daemon.send_signal(signal.SIGCONT)
        if self.accounting:
            self.start_database()
        self.continue_controller()
        self.start_controller()
        for name in self.nodes:
            self.start_node(name)
        self.cancel_all()
        self._wait(self._all_resumed, "all nodes idle", 20)

    # --- the end

    def stop(self) -> None:
        """Kill all processes of this cluster. Its folder stays. It may be called twice."""
        try:
            kill_all(lambda: of_slurm(self._logs, self._marks()))
        finally:
            for daemon in self._daemons.values():
                daemon.kill()
                daemon.wait()
            if self._guard and self._guard.stdin:
                self._guard.stdin.close()
                self._guard.wait(10)
            _remove_cgroups(self.layout)

    def __enter__(self) -> SlurmCluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # --- how it comes up

    def bring_up(self) -> None:
        """Start all daemons, each after those that it needs."""
        write_configuration(self.layout)
        self._start_guard()
        socket_file = self.root / "run" / "munge.sock"
        # --force: without it munged refuses a folder that other users cannot enter.
        self._spawn(
            "munged",
            *("munged", "--foreground", "--force", f"--key-file={self.root}/etc/munge.key"),
            *(f"--socket={socket_file}", f"--pid-file={self.root}/run/munge.pid"),
            *(f"--log-file={self.root}/log/munged.log", f"--seed-file={self.root}/run/munge.seed"),
        )
        self._wait(socket_file.is_socket, "munged listens")
        if self.accounting:
            self._start_accounting()
        self._spawn("slurmctld", "slurmctld", "-D")
        for name in self.nodes:
            self._spawn_slurmd(name)
        self._wait(self._controller_answers, "slurmctld answers")
        self.wait_idle(START_TIMEOUT)

    def _start_accounting(self) -> None:
        """Start MariaDB and slurmdbd, and register the cluster, an account, a QoS and this user."""
        database = self._database_socket
        self.run(
            *("mariadb-install-db", "--no-defaults", f"--datadir={self.root}/state/mariadb"),
            *(f"--user={getpass.getuser()}", "--auth-root-authentication-method=normal"),
            *("--skip-test-db", "--skip-name-resolve"),
            timeout=START_TIMEOUT,
        )
        self._spawn(
            "mariadbd",
            *("mariadbd", "--no-defaults", f"--datadir={self.root}/state/mariadb"),
            *(f"--socket={database}", "--skip-networking", f"--user={getpass.getuser()}"),
            *(f"--pid-file={self.root}/run/mariadb.pid", "--skip-log-bin"),
            # slurmdbd asks for the first two. The others are fast and unsafe: this data may be lost.
            *("--innodb-buffer-pool-size=64M", "--innodb-lock-wait-timeout=900"),
            *("--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync"),
            *("--sync-frm=0", "--performance-schema=0"),
        )
        create = ("-u", "root", "-e", "create database if not exists slurm_acct_db")
        self._wait(
            lambda: self._quiet("mariadb", "--no-defaults", "-S", str(database), *create),
            "MariaDB answers",
        )
        self._spawn_slurmdbd()
        self._wait(self._database_answers, "slurmdbd answers")
        user = getpass.getuser()
        for words in (
            ("add", "cluster", "prl"),
            ("add", "qos", QOS, "priority=10"),
            ("add", "account", ACCOUNT),
            ("add", "user", user, f"account={ACCOUNT}", f"defaultaccount={ACCOUNT}"),
            ("modify", "user", user, "set", f"qos+={QOS}", f"defaultaccount={ACCOUNT}"),
        ):
            self.run("sacctmgr", "-i", *words)

    def _start_guard(self) -> None:
        """Start the guard: when this process ends, however it ends, the guard kills the cluster."""
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", processes.__file__, self._logs, *self._marks()],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C in the terminal is for pytest, not for the guard
        )

    def _spawn_slurmd(self, node: str, *words: str) -> None:
        """Start the slurmd of a node."""
        self._spawn(f"slurmd.{node}", "slurmd", "-D", "-N", node, *words)

    def _spawn_slurmdbd(self) -> None:
        """Start slurmdbd with our own MariaDB."""
        self._spawn("slurmdbd", "slurmdbd", "-D", MYSQL_UNIX_PORT=str(self._database_socket))

    def _spawn(self, name: str, program: str, *words: str, **environ: str) -> None:
        """Start a daemon. What it prints goes to log/NAME.out."""
        with open(self.root / "log" / f"{name}.out", "ab") as out:
            self._daemons[name] = subprocess.Popen(
                [find_program(program), *words],
                env=self._environment() | environ,
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C in the terminal must not end it before the tests
            )

    def _end(self, name: str, number: signal.Signals, timeout: float = 20) -> None:
        """End a daemon, also one stopped by SIGSTOP, and wait for its end. Does nothing if it does not run."""
        if (daemon := self._daemons.pop(name, None)) is None:
            return
        daemon.send_signal(number)
        daemon.send_signal(signal.SIGCONT)
        try:
            daemon.wait(timeout)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    # --- what is seen

    @property
    def _database_socket(self) -> Path:
        """The only socket on which MariaDB listens."""
        return self.root / "run" / "mariadb.sock"

    def _environment(self) -> dict[str, str]:
        """The environment of daemons and commands. The tests may run in a Slurm job: its variables are left out."""
        kept = {name: os.environ[name] for name in ("HOME", "TZ", "TMPDIR") if name in os.environ}
        return kept | {"PATH": PATH, "LANG": "C.UTF-8"} | self.environ

    @property
    def _logs(self) -> str:
        """The folder of the daemons' logs."""
        return str(self.root / "log")

    def _marks(self) -> tuple[str, ...]:
        """The NAME=value in the environment of all processes of the cluster."""
        return tuple(f"{name}={value}" for name, value in self.environ.items())

    def _quiet(self, *argv: str) -> bool:
        """True if the command succeeds."""
        return self.run(*argv, check=False).returncode == 0

    def _controller_answers(self) -> bool:
        """True if slurmctld answers."""
        return self._quiet("scontrol", "ping")

    def _database_answers(self) -> bool:
        """True if slurmdbd answers."""
        return self._quiet("sacctmgr", "-n", "list", "cluster")

    def _all_resumed(self) -> bool:
        """True if all nodes are idle. Nodes that are drained or down are told to resume."""
        states = self.states()
        for name, state in states.items():
            if state.startswith(("drain", "fail", "down")):
                # slurmctld refuses this until the node has registered; a later call succeeds.
                self.run("scontrol", "update", f"NodeName={name}", "State=RESUME", check=False)
        return set(states.values()) == {"idle"}

    def _booted(self, node: str) -> float:
        """When the node's slurmd was started, as slurmctld knows it; 0 if it knows none."""
        shown = self.run("scontrol", "show", "node", node, check=False).stdout
        found = re.search(r"SlurmdStartTime=(\d\S+)", shown)
        return datetime.fromisoformat(found[1]).timestamp() if found else 0.0

    def _step_daemons(self, node: str) -> list[int]:
        """The slurmstepd processes of a node, known by the node's log, which they keep open."""
        log = str(self.root / "log" / f"slurmd.{node}.log")
        return [pid for pid in with_open_log(self._logs, "slurmstepd") if has_open(pid, log)]

    def _tasks(self, node: str | None = None) -> list[int]:
        """The processes of jobs, on all nodes or on one."""
        where = () if node is None else (f"SLURMD_NODENAME={node}",)
        return [
            pid
            for pid in with_environ(*self._marks(), *where)
            if command_of(pid) not in ("slurmstepd", "slurmd")
            and any(word.startswith(b"SLURM_JOB_ID=") for word in environ_of(pid))
        ]

    def _wait(self, check: Callable[[], object], what: str, timeout: float = START_TIMEOUT) -> None:
        """Wait until `check` is true. Raises SlurmError with the ends of the daemons' logs."""

        def checked() -> object:
            self._check_daemons()
            return check()

        try:
            wait_until(checked, what, timeout)
        except PortTakenError:
            raise
        except ClusterError as error:
            raise SlurmError(f"{error}\n{self.logs()}") from None

    def _check_daemons(self) -> None:
        """Raise SlurmError if a daemon ended by itself."""
        for name, daemon in self._daemons.items():
            if daemon.poll() is not None:
                text = self.logs(name)
                kind = PortTakenError if "already in use" in text else SlurmError
                raise kind(f"{name} ended with {daemon.returncode}\n{text}")

    def logs(self, name: str = "*", lines: int = 20) -> str:
        """The last lines of the daemons' logs."""
        return ends_of_logs(self.root / "log", f"{name}.*", lines)


def _remove_cgroups(layout: Layout) -> None:
    """Remove the control groups that a killed slurmd left. They hold no processes any more."""
    for name in layout.nodes:
        for controller in (CGROUP_MEMORY, CGROUP_FREEZER):
            for folder, _, _ in os.walk(controller / f"slurm_{name}", topdown=False):
                Path(folder).rmdir()
