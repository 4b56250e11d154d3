"""A real Slurm on this host for tests: every daemon in one folder, no systemd, root not needed.

    cluster = SlurmCluster.start(folder)
    cluster.run("sbatch", "--wrap", "hostname")
    cluster.stop()

All its processes carry SLURM_CONF=<the folder's slurm.conf> in their environment. That is how the
end finds all of them: slurmstepd outlives slurmd, and tasks outlive slurmstepd. The state is thrown
away, so the end is SIGKILL; only `stop_controller` gives slurmctld the time to save its state.

Run as a program, this file is the guard: it outlives the tests and ends what a killed pytest left.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

ACCOUNT = "proj"
QOS = "urgent"
GPUS = 4
ADVICE = "sudo tools/install-slurm.sh"
#: Daemons live in sbin, which the PATH of an ordinary user leaves out.
PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"
PROGRAMS = """
    munged slurmctld slurmd slurmdbd mariadbd mariadb mariadb-install-db
    sbatch srun squeue scancel scontrol sinfo sacct sacctmgr
""".split()
#: A unix socket's path has at most 107 characters: ROOT/NODE/NODE_JOB.STEP is the longest here.
LONGEST_ROOT = 70
#: Below the range that the kernel gives to outgoing connections.
PORTS = range(15000, 32000)
CGROUP_MEMORY = Path("/sys/fs/cgroup/memory")
START_TIMEOUT = 60.0


class SlurmError(Exception):
    """The cluster did not do what it must; the message says what was seen."""


class PortTakenError(SlurmError):
    """Somebody else bound one of our ports between the choice and its use."""


class Layout(NamedTuple):
    """What the configuration files are made of."""

    root: Path
    nodes: tuple[str, ...]
    controller_port: int
    database_port: int
    node_ports: tuple[int, ...]
    accounting: bool
    enforce: bool
    cgroup_memory: bool
    min_job_age: int
    slurmd_timeout: int
    message_timeout: int
    conf_extra: str


# --- processes


def _find(name: str) -> str:
    """Where a program is."""
    path = shutil.which(name, path=PATH)
    if path is None:
        raise SlurmError(f"{name} is not installed: {ADVICE}")
    return path


def _stat(pid: int) -> tuple[str, int] | None:
    """A process's state and its parent; None where it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    state, parent = text.rpartition(")")[2].split()[:2]  # the name before may hold anything
    return state, int(parent)


def _alive(pid: int) -> bool:
    """Whether it still runs: a zombie, which nobody may ever reap here, does not."""
    seen = _stat(pid)
    return seen is not None and seen[0] not in "ZX"


def _environ(pid: int) -> set[bytes]:
    """What it was started with; nothing where it is gone or somebody else's."""
    try:
        return set(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))
    except OSError:
        return set()


def _command(pid: int) -> str:
    """The name in /proc/PID/comm."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    except OSError:
        return ""


def _processes() -> list[int]:
    """All processes but this one."""
    return [
        int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()
    ]


def _with_environ(*wanted: str) -> list[int]:
    """Living processes that carry all these NAME=value."""
    words = {word.encode() for word in wanted}
    return [pid for pid in _processes() if words <= _environ(pid) and _alive(pid)]


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    """Send it to those that are still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _kill_all(find: Callable[[], list[int]], timeout: float = 10.0) -> None:
    """SIGKILL what `find` finds, until it finds nothing: what is killed may just have forked."""
    deadline = time.monotonic() + timeout
    while left := find():
        if time.monotonic() > deadline:
            raise SlurmError(f"processes that survive SIGKILL: {left}")
        _signal(left, signal.SIGKILL)
        time.sleep(0.01)


def _wait(check: Callable[[], object], what: str, timeout: float, pause: float = 0.02) -> None:
    """Wait until `check` is true; `what` says what did not come."""
    deadline = time.monotonic() + timeout
    while not check():
        if time.monotonic() > deadline:
            raise SlurmError(f"{what}: not within {timeout:g} s")
        time.sleep(pause)


# --- what this machine has


def available() -> str | None:
    """None where a cluster can be started here, else one line that says what is missing."""
    missing = [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]
    return f"{' '.join(missing)} not installed: {ADVICE}" if missing else None


def cgroups_allow() -> str | None:
    """None where Slurm can limit memory here, else one line that says why not.

    Only cgroup v1: v2 needs a delegated subtree, which without systemd nobody gives us.
    """
    if not (CGROUP_MEMORY / "memory.limit_in_bytes").exists():
        return f"no cgroup v1 memory controller in {CGROUP_MEMORY}"
    probe = CGROUP_MEMORY / f"prl-probe-{os.getpid()}"
    try:
        probe.mkdir()
        try:
            (probe / "memory.limit_in_bytes").write_text(str(64 << 20))
        finally:
            probe.rmdir()
    except OSError as error:
        return f"{CGROUP_MEMORY}: {error.strerror}"
    return None


def _free_ports(count: int) -> list[int]:
    """Ports nobody listens on, spread so that clusters that start together rarely meet."""
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("", port))
            found.append(port)
            if len(found) == count:
                return found
    raise SlurmError(f"fewer than {count} free ports in {PORTS}")


# --- the configuration


def _node_names(count: int, unique: int | None) -> tuple[str, ...]:
    """node1 and so on. slurmd names its cgroups after its node alone: then they must be unique."""
    prefix = "node" if unique is None else f"n{unique}x"
    return tuple(f"{prefix}{number}" for number in range(1, count + 1))


def _write_configuration(layout: Layout) -> None:
    """Every file and folder the daemons need before they start."""
    root = layout.root
    for folder in ("etc", "log", "run", "state", "dev"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for number in range(GPUS):
        # Slurm sets CUDA_VISIBLE_DEVICES only for character devices; a regular file leaves it empty.
        (root / "dev" / f"gpu{number}").symlink_to("/dev/null")
    _write_secret(root / "etc" / "munge.key", os.urandom(1024))
    (root / "etc" / "gres.conf").write_text(f"Name=gpu File={root}/dev/gpu[0-{GPUS - 1}]\n")
    (root / "etc" / "cgroup.conf").write_text(_cgroup_conf(layout))
    (root / "etc" / "slurm.conf").write_text(_slurm_conf(layout))
    if layout.accounting:
        _write_secret(root / "etc" / "slurmdbd.conf", _slurmdbd_conf(layout).encode())


def _write_secret(path: Path, data: bytes) -> None:
    """A file that only its owner reads; munged and slurmdbd refuse others."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)


def _cgroup_conf(layout: Layout) -> str:
    """cgroup.conf; without swap, a job over its memory is killed and not slowed down."""
    if not layout.cgroup_memory:
        return "CgroupAutomount=no\n"
    return """\
CgroupPlugin=cgroup/v1
CgroupAutomount=no
ConstrainRAMSpace=yes
ConstrainSwapSpace=yes
AllowedSwapSpace=0
"""


def _slurmdbd_conf(layout: Layout) -> str:
    """slurmdbd.conf."""
    root = layout.root
    return f"""\
AuthType=auth/munge
AuthInfo=socket={root}/run/munge.sock
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={layout.database_port}
SlurmUser={getpass.getuser()}
DebugLevel=info
LogFile={root}/log/slurmdbd.log
PidFile={root}/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm_acct_db
"""


def _accounting_conf(layout: Layout) -> str:
    """slurm.conf's lines about accounting."""
    if not layout.accounting:
        return "AccountingStorageType=accounting_storage/none"
    # The password of auth/munge is the path of munged's socket.
    lines = f"""\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort={layout.database_port}
AccountingStoragePass={layout.root}/run/munge.sock
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment,job_env,job_script"""
    if layout.enforce:
        lines += "\nAccountingStorageEnforce=associations,limits,qos"
    return lines


def _slurm_conf(layout: Layout) -> str:
    """slurm.conf. Without a short cred_expire a requeued job waits two minutes."""
    root, user, host = layout.root, getpass.getuser(), socket.gethostname().split(".")[0]
    nodes = "\n".join(
        f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=16 Sockets=1 "
        f"CoresPerSocket=16 ThreadsPerCore=1 RealMemory=8000 Gres=gpu:{GPUS} State=UNKNOWN"
        for name, port in zip(layout.nodes, layout.node_ports, strict=True)
    )
    partition = f"Nodes={','.join(layout.nodes)} State=UP"
    return f"""\
ClusterName=prl
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CryptoType=crypto/munge
AuthInfo=socket={root}/run/munge.sock,cred_expire=5
SlurmctldPort={layout.controller_port}
SlurmctldPidFile={root}/run/slurmctld.pid
SlurmdPidFile={root}/run/slurmd.%n.pid
StateSaveLocation={root}/state/slurmctld
SlurmdSpoolDir={root}/%n
SlurmctldLogFile={root}/log/slurmctld.log
SlurmdLogFile={root}/log/slurmd.%n.log
SlurmctldDebug=info
SlurmdDebug=info
ProctrackType=proctrack/linuxproc
TaskPlugin={"task/cgroup" if layout.cgroup_memory else "task/none"}
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,bf_interval=1
GresTypes=gpu
ReturnToService=2
KillWait=5
SlurmdTimeout={layout.slurmd_timeout}
SlurmctldTimeout=10
MessageTimeout={layout.message_timeout}
InactiveLimit=0
MinJobAge={layout.min_job_age}
MaxJobCount=20000
MaxArraySize=2001
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=5
DefMemPerCPU=64
JobCompType=jobcomp/none
{_accounting_conf(layout)}
{layout.conf_extra}
{nodes}
PartitionName=gpu Default=YES MaxTime=02:00:00 DefaultTime=00:10:00 PriorityTier=10 PreemptMode=OFF {partition}
PartitionName=low MaxTime=02:00:00 DefaultTime=00:10:00 PriorityTier=1 PreemptMode=REQUEUE {partition}
PartitionName=short MaxTime=00:01:00 DefaultTime=00:01:00 PriorityTier=10 PreemptMode=OFF {partition}
"""


# --- the cluster


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
        min_job_age: int = 300,
        slurmd_timeout: int = 10,
        message_timeout: int = 10,
        conf_extra: str = "",
    ) -> SlurmCluster:
        """A cluster in `root`, all nodes idle; it ends with `stop`, or with this process.

        Its partitions: `gpu` (the default), `low` (preempted and requeued by the others) and
        `short` (one minute). `enforce` refuses accounts and QoS that accounting does not know.
        """
        root = root.resolve()
        if len(str(root)) > LONGEST_ROOT:
            raise SlurmError(f"{root}: longer than {LONGEST_ROOT} characters, too long for sockets")
        if lack := available():
            raise SlurmError(lack)
        for attempt in range(3):
            controller, database, *node_ports = _free_ports(2 + nodes)
            layout = Layout(
                root=root / f"try{attempt}" if attempt else root,
                nodes=_node_names(nodes, controller if cgroup_memory else None),
                controller_port=controller,
                database_port=database,
                node_ports=tuple(node_ports),
                accounting=accounting,
                enforce=enforce,
                cgroup_memory=cgroup_memory,
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
            [_find(argv[0]), *argv[1:]],
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
            _signal(self._tasks(), signal.SIGKILL)
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
        _kill_all(lambda: self._step_daemons(name))
        _signal(tasks, signal.SIGKILL)
        _kill_all(lambda: self._tasks(name))

    def start_node(self, name: str, timeout: float = 20) -> None:
        """Boot the node and wait until the controller heard it; nothing where it runs."""
        if f"slurmd.{name}" in self._daemons:
            return
        now = time.time()
        self._spawn_slurmd(name, "-b")  # "rebooted": else its lost jobs go on `running`
        self._wait(lambda: self._booted(name) >= int(now), f"{name} registers", timeout)

    def heal(self) -> None:
        """After a test: controller and nodes up again, no job left, every node idle."""
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
            _kill_all(lambda: _with_environ(*self._marks()))
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
        _write_configuration(self.layout)
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
            [sys.executable, "-I", "-S", __file__, *self._marks()],
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
                [_find(program), *words],
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
        found = _with_environ(*self._marks())
        return [pid for pid in found if _command(pid) == "slurmstepd" and _has_open(pid, log)]

    def _tasks(self, node: str | None = None) -> list[int]:
        """Processes of jobs, on all nodes or on one."""
        where = () if node is None else (f"SLURMD_NODENAME={node}",)
        return [
            pid
            for pid in _with_environ(*self._marks(), *where)
            if _command(pid) not in ("slurmstepd", "slurmd")
            and any(word.startswith(b"SLURM_JOB_ID=") for word in _environ(pid))
        ]

    def _wait(self, check: Callable[[], object], what: str, timeout: float = START_TIMEOUT) -> None:
        """Wait for it; where it does not come, say what the daemons said."""

        def checked() -> object:
            self._check_daemons()
            return check()

        try:
            _wait(checked, what, timeout)
        except PortTakenError:
            raise
        except SlurmError as error:
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


def _has_open(pid: int, path: str) -> bool:
    """Whether it holds the file open."""
    with contextlib.suppress(OSError):
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if os.readlink(file) == path:
                    return True
    return False


def _remove_cgroups(layout: Layout) -> None:
    """The groups that a killed slurmd could not remove; they have no processes any more."""
    if not layout.cgroup_memory:
        return
    for name in layout.nodes:
        for folder, _, _ in os.walk(CGROUP_MEMORY / f"slurm_{name}", topdown=False):
            Path(folder).rmdir()


def guard(marks: Sequence[str]) -> None:
    """Wait until the starter is gone, then end what carries the marks."""
    sys.stdin.buffer.read()
    _kill_all(lambda: _with_environ(*marks))


if __name__ == "__main__":
    guard(sys.argv[1:])
