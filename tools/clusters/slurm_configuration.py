"""The configuration files of a Slurm test cluster, and what this machine must have to start one."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import socket
import subprocess
from pathlib import Path
from typing import NamedTuple

from tools.clusters.processes import SlurmError

ACCOUNT = "proj"
QOS = "urgent"
GPUS = 4
ADVICE = "sudo tools/install-slurm.sh"
#: The daemons are in sbin, which is not on the PATH of an ordinary user.
PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"
PROGRAMS = [
    "munged",
    "slurmctld",
    "slurmd",
    "sbatch",
    "srun",
    "squeue",
    "scancel",
    "scontrol",
    "sinfo",
    "sacct",
    "sacctmgr",
]
#: Programs that only a cluster with accounting needs.
ACCOUNTING_PROGRAMS = ["slurmdbd", "mariadbd", "mariadb", "mariadb-install-db"]
#: The path of a unix socket has at most 107 characters; the longest here is ROOT/NODE/NODE_JOB.STEP.
LONGEST_ROOT = 70
CGROUP_MEMORY = Path("/sys/fs/cgroup/memory")
CGROUP_FREEZER = Path("/sys/fs/cgroup/freezer")
START_TIMEOUT = 60.0


class Layout(NamedTuple):
    """The values in the configuration files."""

    root: Path
    nodes: tuple[str, ...]
    controller_port: int
    database_port: int
    node_ports: tuple[int, ...]
    accounting: bool
    enforce: bool
    cgroup_memory: bool
    proctrack: str
    min_job_age: int
    slurmd_timeout: int
    message_timeout: int
    conf_extra: str


def find_program(name: str) -> str:
    """The path of a program. Raises SlurmError if it is not installed."""
    path = shutil.which(name, path=PATH)
    if path is None:
        raise SlurmError(f"{name} is not installed: {ADVICE}")
    return path


def version() -> tuple[int, ...]:
    """The installed Slurm's version, such as (22, 5, 8)."""
    done = subprocess.run(
        [find_program("slurmctld"), "-V"], capture_output=True, text=True, check=True
    )
    return tuple(int(number) for number in re.findall(r"\d+", done.stdout)[:3])


def available(*, accounting: bool = False) -> str | None:
    """None if a cluster can be started here; else a line that says which programs are missing."""
    if missing := _missing(PROGRAMS):
        return f"Slurm's tests need {missing}, not installed here: {ADVICE}"
    if accounting and (missing := _missing(ACCOUNTING_PROGRAMS)):
        return f"Slurm's accounting needs {missing}, not installed here: {ADVICE}"
    return None


def _missing(programs: list[str]) -> str:
    """The programs that are not installed, as `a, b`."""
    return ", ".join(name for name in programs if shutil.which(name, path=PATH) is None)


def cgroups_allow() -> str | None:
    """None if Slurm can use control groups here; else a line that says why not.

    Only version 1 of them: version 2 needs a subtree that systemd hands over, and there is none here.
    """
    if not (CGROUP_MEMORY / "memory.limit_in_bytes").exists():
        return f"no cgroup v1 memory controller in {CGROUP_MEMORY}"
    if not os.access(CGROUP_FREEZER, os.W_OK):
        return f"{CGROUP_FREEZER} is not writable"
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


def node_names(count: int, unique: int | None) -> tuple[str, ...]:
    """Node names: node1, node2, …; with `unique` another prefix.

    slurmd names its control groups after the node alone, so two clusters must not share a name.
    """
    prefix = "node" if unique is None else f"n{unique}x"
    return tuple(f"{prefix}{number}" for number in range(1, count + 1))


def write_configuration(layout: Layout) -> None:
    """Write every file and folder that the daemons need before they start."""
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
    """Write a file that only its owner may read; munged and slurmdbd refuse any other."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)


def _cgroup_conf(layout: Layout) -> str:
    """cgroup.conf. Jobs get no swap: one that needs more than its memory is killed, not slowed down."""
    if not layout.cgroup_memory and layout.proctrack != "cgroup":
        return "CgroupAutomount=no\n" if version() < (23,) else "CgroupPlugin=disabled\n"
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
    """The lines of slurm.conf about accounting."""
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
    """slurm.conf. cred_expire is short, because a requeued job waits as long: two minutes by default."""
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
ProctrackType=proctrack/{layout.proctrack}
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
