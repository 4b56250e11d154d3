"""The name of every file of a run.

    output/latest              a link to the newest run
    output/.nodes/             where the nodes of a platform find their common run: a folder for each job
    output/sweeps/NAME-20261122-210000/
        sweep.json             the sweep: its runs and their values
        spec.yaml              the sweep's spec as it was written
        .lock                  locked by who submits the sweep's runs
        job.sbatch             what Slurm was sent: a job array whose tasks are the runs; job2.sbatch, …: further arrays
        job.tasks/N            a link to the run directory of task N of job.sbatch; job2.tasks/N, …
        queue.json, queue.log  the waiting queue: its process, and what it did
    output/v26-20261122-210000/
        spec.yaml              what was asked for
        plan.json              what was decided
        launch.sh              what runs on each node
        launch.lib.sh          the functions that launch.sh calls
        job.sbatch             what Slurm was sent; on Kubernetes pytorchjob.yaml
        run.json               who runs it: written last, so a run that is listed has all files above
        labels.json            what the user says about it: its name, a note, tags
        cancel.json            who cancelled it
        exit.json              how it ended, written by the job
        verdict.json           how it ended, as a scheduler said
        made_of/               what the run was made of: workdir.diff, code.json, data.json, copies of
                               plugins, and versions.json of node 0, which writes it; versions.nodeN.json
        made_of/restart-N/     the same at a `resume`, if code or data had changed
        logging.jsonl          ms-swift's own log of steps; completions.jsonl beside it
        logs/nodeN.log         stdout and stderr of each node
        logs/nodeN.exit.json   exit.json of the nodes besides the first
        logs/attempts.jsonl    when each attempt began and ended
        logs/repeated_steps.jsonl  the lines of logging.jsonl about steps that a later attempt trained again
        logs/slurm.log         what Slurm's batch script printed
        logs/queue.json        the waiting queue of a run that was submitted alone; logs/queue.log beside it
        logs/.aliveN           the sign of life of a node of a platform, which launch.sh writes again and again
        logs/ranks/            the ranks' own logs, where the user asked torchrun for them

launch.sh writes exit.json and most files of logs/, so its templates repeat these names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

#: The pattern of a run directory's name; its group is the run's number.
RUN_NAME = r"v([0-9]+)-[0-9]{8}-[0-9]{6}"
SPEC = "spec.yaml"
PLAN = "plan.json"
LAUNCH = "launch.sh"
LIBRARY = "launch.lib.sh"
BATCH_SCRIPT = "job.sbatch"
MANIFEST = "pytorchjob.yaml"
RECORD = "run.json"
LABELS = "labels.json"
CANCEL = "cancel.json"
EXIT = "exit.json"
#: exit.json while launch.sh writes it.
EXIT_PART = "exit.json.part"
VERDICT = "verdict.json"
#: ms-swift's own files.
STEPS = "logging.jsonl"
COMPLETIONS = "completions.jsonl"
#: The link beside the runs, and the folder in which the nodes of a platform find their common run.
LATEST = "latest"
NODES = ".nodes"

#: If the run directory is given to the user of its pods, these files keep their owner, who shows whose run it is.
NOT_GIVEN = frozenset({RECORD, PLAN, CANCEL, VERDICT})

#: The folder of the sweeps' folders, and the files of a sweep's folder. Its spec.yaml is called SPEC as a run's.
SWEEPS = "sweeps"
SWEEP = "sweep.json"
SWEEP_LOCK = ".lock"
#: Beside the batch script of a job array, `job.sbatch`: the folder `job.tasks` with a link for each task.
TASKS_SUFFIX = ".tasks"

#: The folder with what the run was made of, and its files. The nodes write their versions into it.
MADE_OF = "made_of"
CODE_RECORD = "code.json"
DATA_RECORD = "data.json"
DIFFERENCE = "workdir.diff"

#: Files of the waiting queue, in a sweep's folder or in `logs/`. The lock is held by the queue's process.
QUEUE = "queue.json"
QUEUE_LOG = "queue.log"
QUEUE_LOCK = ".queue.lock"

LOGS = "logs"
ATTEMPTS = f"{LOGS}/attempts.jsonl"
SLURM_LOG = f"{LOGS}/slurm.log"
REPEATED_STEPS = f"{LOGS}/repeated_steps.jsonl"
#: The id of the scheduler's job, as the job itself writes it.
JOB = f"{LOGS}/.job"
#: When a scheduler first said that it does not know the job.
MISSING = f"{LOGS}/.missing"
#: The lock of those who change labels.json.
LABELS_LOCK = f"{LOGS}/.labels.lock"
#: The lock of `resume`.
RESUME_LOCK = f"{LOGS}/.resume.lock"
#: The run's token, written before the job is submitted. If a pod finds it with the same token, the pod's
#: output volume and the submitter's are the same.
HERE = f"{LOGS}/.here"


def node_log(logs: Path, node: int) -> Path:
    """The log of one node: its stdout and stderr."""
    return logs / f"node{node}.log"


def versions_file(run: Path, node: int) -> Path:
    """The versions of the packages on one node, as the node itself writes them."""
    return run / MADE_OF / ("versions.json" if node == 0 else f"versions.node{node}.json")


def made_of_restart(restarts: int) -> str:
    """The folder with what an attempt was made of, if that differs from the first one."""
    return f"{MADE_OF}/restart-{restarts}" if restarts else MADE_OF


def ranks_folder(run: Path, node: int) -> Path:
    """The folder in which torchrun writes a log for each rank of a node."""
    return run / LOGS / "ranks" / f"node{node}"


def starts_file(run: Path, node: int, token: str) -> Path:
    """The file with a line for each start of launch.sh on a node, if somebody else starts the nodes one by one.

    For pods: only if the pods write into this directory.
    """
    return run / LOGS / f".starts{node}.{token}"


def suspensions_file(run: Path, token: str) -> Path:
    """The file with the numbers of the attempts that SIGTERM ended, for a job that Kueue may suspend."""
    return run / LOGS / f".suspended.{token}"


def trainings_file(run: Path, token: str) -> Path:
    """The file of a platform's job with the numbers of the attempts whose training has begun."""
    return run / LOGS / f".trainings.{token}"


def alive_file(run: Path, node: int) -> Path:
    """The sign of life of a node of a platform; `signs_of_life` says what is in it."""
    return run / LOGS / f".alive{node}"


def nodes_folder(root: Path, key: str) -> Path:
    """The folder in an output root where the nodes of a platform's job find their common run."""
    return root / NODES / key


def pod_file(logs: Path, node: int) -> Path:
    """The file with the name of the pod that writes the node's log into this folder itself."""
    return logs / f".pod{node}"


def kept_file(logs: Path, node: int) -> Path:
    """The file that says how far a node's log has been copied here, if its pod does not write here itself."""
    return logs / f".kept{node}.json"


def sweep_folder(root: Path, folder: str) -> Path:
    """The folder of a sweep: `folder` is its name there, `NAME-YYYYMMDD-HHMMSS`."""
    return root / SWEEPS / folder


def claim_folder(root: Path, number: int) -> Path:
    """The folder that exists while a process makes the run directory of that number."""
    return root / f".v{number}.claim"
