"""A real Slurm on this host for tests: every daemon in one folder, no systemd, root not needed.

    cluster = SlurmCluster.start(folder)
    cluster.run("sbatch", "--wrap", "hostname")
    cluster.stop()

Its processes carry SLURM_CONF=<the folder's slurm.conf> in their environment, but for slurmstepd, which newer versions
start without it and which has the log of its node open. That is how the end finds all of them: slurmstepd outlives
slurmd, and tasks outlive slurmstepd. The state is thrown
away, so the end is SIGKILL; only `stop_controller` gives slurmctld the time to save its state.
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
from tools.clusters.configuration import (
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
    free_ports,
    node_names,
    write_configuration,
)
from tools.clusters.processes import (
    ClusterError,
    SlurmError,
    command_of,
    environ_of,
    has_open,
    kill_all,
    of_slurm,
    send,
    wait_until,
    with_environ,
    with_open_log,
)


class PortTakenError(SlurmError):
    """Somebody else bound one of our ports between the choice and its use."""


class SlurmCluster:
    """A cluster that runs; `start` makes one."""

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
        """A cluster in `root`, all nodes idle; it ends with `stop`, or with this process.

        Its partitions: `gpu` (the default), `low` (preempted and requeued by the others) and
        `short` (one minute). `enforce` refuses accounts and QoS that accounting does not know.
        `proctrack`: `linuxproc` signals every process of a step, `cgroup` the first one alone.
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
        """One of Slurm's commands, finished; where it fails and `check` is set, SlurmError."""
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
        """Wait until every node answers and does nothing."""
        self._wait(lambda: set(self.states().values()) == {"idle"}, "all nodes idle", timeout)

    def states(self) -> dict[str, str]:
        """What sinfo says of each node: `idle`, `mixed`, `down`, …; with a `*` it is not heard."""
        done = self.run("sinfo", "-h", "-N", "-p", "gpu", "-o", "%N %T", check=False)
        states = dict(line.split() for line in done.stdout.splitlines())
        return {name: states.get(name, "unknown") for name in self.nodes}

    def jobs(self) -> list[str]:
        """Ids of the jobs that are not over: pending, running and completing."""
        return self.run("squeue", "-h", "-a", "-r", "-o", "%i").stdout.split()

    def cancel_all(self, timeout: float = 20) -> None:
        """Cancel every job and wait until none is left."""

        def over() -> bool:
            if not self.jobs():
                return True
            # Jobs that trap SIGTERM have KillWait seconds; the tests do not wait for them.
            send(self._tasks(), signal.SIGKILL)
            return False

        user = getpass.getuser()
        if self.jobs():
            self.run("scancel", "-u", user)
            self._wait(over, "all jobs cancelled", timeout)

    # --- what tests break

    def stop_controller(self, *, crash: bool = False, timeout: float = 20) -> None:
        """End slurmctld and wait until it is gone; a crash loses what it had not saved yet."""
        self._end("slurmctld", signal.SIGKILL if crash else signal.SIGTERM, timeout)

    def start_controller(self, timeout: float = 20) -> None:
        """Start slurmctld and wait until it answers; nothing where it runs."""
        if "slurmctld" not in self._daemons:
            self._spawn("slurmctld", "slurmctld", "-D")
        self._wait(self._controller_answers, "slurmctld answers", timeout)

    def pause_controller(self) -> None:
        """A controller that accepts connections and never answers."""
        self._daemons["slurmctld"].send_signal(signal.SIGSTOP)

    def continue_controller(self) -> None:
        """Undo `pause_controller`."""
        if daemon := self._daemons.get("slurmctld"):
            daemon.send_signal(signal.SIGCONT)

    def stop_database(self) -> None:
        """End slurmdbd: sacct and sacctmgr fail, and the controller keeps its news for later."""
        self._end("slurmdbd", signal.SIGKILL)

    def pause_database(self) -> None:
        """A slurmdbd that accepts connections and never answers; `heal` undoes it."""
        self._daemons["slurmdbd"].send_signal(signal.SIGSTOP)

    def start_database(self, timeout: float = 20) -> None:
        """Start slurmdbd and wait until it answers; nothing where it runs."""
        if "slurmdbd" not in self._daemons:
            self._spawn_slurmdbd()
        self._wait(self._database_answers, "slurmdbd answers", timeout)

    def kill_node(self, name: str) -> None:
        """As if the node lost power: nothing of it is left, and nobody says goodbye."""
        self._end(f"slurmd.{name}", signal.SIGKILL)
        tasks = self._tasks(name)
        # First those that would report the end of a task to the controller.
        kill_all(lambda: self._step_daemons(name))
        send(tasks, signal.SIGKILL)
        kill_all(lambda: self._tasks(name))

    def start_node(self, name: str, timeout: float = 20) -> None:
        """Boot the node and wait until the controller heard it; nothing where it runs."""
        if f"slurmd.{name}" in self._daemons:
            return
        now = time.time()
        self._spawn_slurmd(name, "-b")  # "rebooted": else its lost jobs go on `running`
        self._wait(lambda: self._booted(name) >= int(now), f"{name} registers", timeout)

    def heal(self) -> None:
        """After a test: controller and nodes up again, no job left, every node idle."""
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
        """End everything of this cluster; its folder stays. May be called twice."""
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
        """All daemons in their order."""
        write_configuration(self.layout)
        self._start_guard()
        socket_file = self.root / "run" / "munge.sock"
        # --force: as one user's own daemon it may live in a folder that others cannot enter.
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
        """MariaDB, slurmdbd, and what is registered there."""
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
            # The first line is what slurmdbd asks for. Nothing here need outlive a power cut.
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
        """A process that waits for our end, however it comes, and then ends the cluster's."""
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", processes.__file__, self._logs, *self._marks()],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the tests, not for it
        )

    def _spawn_slurmd(self, node: str, *words: str) -> None:
        """A node."""
        self._spawn(f"slurmd.{node}", "slurmd", "-D", "-N", node, *words)

    def _spawn_slurmdbd(self) -> None:
        """The accounting daemon, on our own MariaDB."""
        self._spawn("slurmdbd", "slurmdbd", "-D", MYSQL_UNIX_PORT=str(self._database_socket))

    def _spawn(self, name: str, program: str, *words: str, **environ: str) -> None:
        """Start a daemon; what it prints goes to log/NAME.out."""
        with open(self.root / "log" / f"{name}.out", "ab") as out:
            self._daemons[name] = subprocess.Popen(
                [find_program(program), *words],
                env=self._environment() | environ,
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C must not end it before the tests that need it
            )

    def _end(self, name: str, number: signal.Signals, timeout: float = 20) -> None:
        """End a daemon, paused or not, and wait until it is gone; nothing where it does not run."""
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
        """Where MariaDB listens, and nowhere else."""
        return self.root / "run" / "mariadb.sock"

    def _environment(self) -> dict[str, str]:
        """For daemons and commands: nothing of a Slurm job that the tests may run in."""
        kept = {name: os.environ[name] for name in ("HOME", "TZ", "TMPDIR") if name in os.environ}
        return kept | {"PATH": PATH, "LANG": "C.UTF-8"} | self.environ

    @property
    def _logs(self) -> str:
        """The folder of the daemons' logs."""
        return str(self.root / "log")

    def _marks(self) -> tuple[str, ...]:
        """What the environment of all its processes holds."""
        return tuple(f"{name}={value}" for name, value in self.environ.items())

    def _quiet(self, *argv: str) -> bool:
        """Whether a command succeeds."""
        return self.run(*argv, check=False).returncode == 0

    def _controller_answers(self) -> bool:
        """Whether slurmctld is up; scontrol's exit code says it."""
        return self._quiet("scontrol", "ping")

    def _database_answers(self) -> bool:
        """Whether slurmdbd is up."""
        return self._quiet("sacctmgr", "-n", "list", "cluster")

    def _all_resumed(self) -> bool:
        """Whether all nodes are idle; those that were set aside are called back."""
        states = self.states()
        for name, state in states.items():
            if state.startswith(("drain", "fail", "down")):
                # Refused as long as the controller has not heard the node; then the next one helps.
                self.run("scontrol", "update", f"NodeName={name}", "State=RESUME", check=False)
        return set(states.values()) == {"idle"}

    def _booted(self, node: str) -> float:
        """When the slurmd that the controller heard last was started; 0 where none was."""
        shown = self.run("scontrol", "show", "node", node, check=False).stdout
        found = re.search(r"SlurmdStartTime=(\d\S+)", shown)
        return datetime.fromisoformat(found[1]).timestamp() if found else 0.0

    def _step_daemons(self, node: str) -> list[int]:
        """The node's slurmstepd's: known by the log of the node, which they keep open."""
        log = str(self.root / "log" / f"slurmd.{node}.log")
        return [pid for pid in with_open_log(self._logs, "slurmstepd") if has_open(pid, log)]

    def _tasks(self, node: str | None = None) -> list[int]:
        """Processes of jobs, on all nodes or on one."""
        where = () if node is None else (f"SLURMD_NODENAME={node}",)
        return [
            pid
            for pid in with_environ(*self._marks(), *where)
            if command_of(pid) not in ("slurmstepd", "slurmd")
            and any(word.startswith(b"SLURM_JOB_ID=") for word in environ_of(pid))
        ]

    def _wait(self, check: Callable[[], object], what: str, timeout: float = START_TIMEOUT) -> None:
        """Wait for it; where it does not come, say what the daemons said."""

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
        """Raise where one ended by itself."""
        for name, daemon in self._daemons.items():
            if daemon.poll() is not None:
                text = self.logs(name)
                kind = PortTakenError if "already in use" in text else SlurmError
                raise kind(f"{name} ended with {daemon.returncode}\n{text}")

    def logs(self, name: str = "*", lines: int = 20) -> str:
        """The last lines of the daemons' logs."""
        parts = []
        for file in sorted((self.root / "log").glob(f"{name}.*")):
            tail = file.read_text(errors="replace").splitlines()[-lines:]
            if tail:
                parts.append("\n".join([f"--- {file.name}", *tail]))
        return "\n".join(parts)


def _remove_cgroups(layout: Layout) -> None:
    """The groups that a killed slurmd could not remove; they have no processes any more."""
    for name in layout.nodes:
        for controller in (CGROUP_MEMORY, CGROUP_FREEZER):
            for folder, _, _ in os.walk(controller / f"slurm_{name}", topdown=False):
                Path(folder).rmdir()
