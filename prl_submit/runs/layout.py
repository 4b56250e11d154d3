"""The name of every file of a run.

    output/latest              a link to the newest run
    output/v26-20261122-210000/
        spec.yaml              what was asked for
        plan.json              what was decided
        launch.sh              what runs on each node
        launch.lib.sh          the functions that launch.sh calls
        job.sbatch             what Slurm was sent; on Kubernetes pytorchjob.yaml
        run.json               who runs it: written last, so a run that is listed has all files above
        cancel.json            who cancelled it
        exit.json              how it ended, written by the job
        verdict.json           how it ended, as a scheduler said
        logging.jsonl          ms-swift's own log of steps; completions.jsonl beside it
        logs/nodeN.log         stdout and stderr of each node
        logs/nodeN.exit.json   exit.json of the nodes besides the first
        logs/attempts.jsonl    when each attempt began and ended
        logs/slurm.log         what Slurm's batch script printed
        logs/ranks/            the ranks' own logs, where the user asked torchrun for them

launch.sh, whose templates have these names too, writes exit.json, logs/ and what begins with a dot in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SPEC = "spec.yaml"
PLAN = "plan.json"
LAUNCH = "launch.sh"
LIBRARY = "launch.lib.sh"
BATCH_SCRIPT = "job.sbatch"
MANIFEST = "pytorchjob.yaml"
RECORD = "run.json"
CANCEL = "cancel.json"
EXIT = "exit.json"
#: exit.json while launch.sh writes it.
EXIT_PART = "exit.json.part"
VERDICT = "verdict.json"
#: ms-swift's own files.
STEPS = "logging.jsonl"
COMPLETIONS = "completions.jsonl"
#: The link beside the runs.
LATEST = "latest"

#: These keep their owner where the run is given to the user of its pods: the owner says whose run it is.
NOT_GIVEN = frozenset({RECORD, PLAN, CANCEL, VERDICT})

LOGS = "logs"
ATTEMPTS = f"{LOGS}/attempts.jsonl"
SLURM_LOG = f"{LOGS}/slurm.log"
#: The id of the scheduler's job that has the run, as the job itself writes it.
JOB = f"{LOGS}/.job"
#: Since when a scheduler has not known the job.
MISSING = f"{LOGS}/.missing"
#: The lock of `resume`.
RESUME_LOCK = f"{LOGS}/.resume.lock"
#: The run's token, written before the job is submitted. If a pod finds it with the same token, the pod's
#: output volume and the submitter's are the same.
HERE = f"{LOGS}/.here"


def node_log(logs: Path, node: int) -> Path:
    """What one node wrote to stdout and stderr."""
    return logs / f"node{node}.log"


def ranks_folder(run: Path, node: int) -> Path:
    """Where torchrun writes the logs of one node's ranks apart."""
    return run / LOGS / "ranks" / f"node{node}"


def starts_file(run: Path, node: int, token: str) -> Path:
    """A line for each start of a node's pod, where the pods' volume is here."""
    return run / LOGS / f".starts{node}.{token}"


def suspensions_file(run: Path, token: str) -> Path:
    """The numbers of the attempts that SIGTERM from outside ended, of a job that Kueue may suspend."""
    return run / LOGS / f".suspended.{token}"


def pod_file(logs: Path, node: int) -> Path:
    """The name of the pod that writes that node's log into this folder itself."""
    return logs / f".pod{node}"


def kept_file(logs: Path, node: int) -> Path:
    """How far a node's log has been brought here, where its pod does not write it here."""
    return logs / f".kept{node}.json"


def claim_folder(root: Path, number: int) -> Path:
    """Exists while somebody makes the run directory of that number."""
    return root / f".v{number}.claim"
