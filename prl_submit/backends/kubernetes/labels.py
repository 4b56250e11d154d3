"""Names and labels: how a run, its PyTorchJob and its pods find each other."""

from __future__ import annotations

MANIFEST = "pytorchjob.yaml"
#: The one container that every training-operator gives the topology to.
CONTAINER = "pytorch"
#: In the run directory as the submitter has it: the token, by which a pod knows that it has the same.
HERE = "logs/.here"

MANAGED_BY = "app.kubernetes.io/managed-by"
OURS = "prl-submit"
#: Holds the whole token of a run; the job's name has room for half of it.
TOKEN_LABEL = "prl-submit/token"
#: The run directory that a job belongs to, as its submitter has it: a run.json may be copied or forged.
DIRECTORY_ANNOTATION = "prl-submit/run-directory"
#: The launch script of a pod, which the downward API makes a file of.
LAUNCH_ANNOTATION = "prl-submit/launch.sh"
#: Kueue's: which LocalQueue a job waits in.
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
#: Seconds that a pod has beyond the training's own grace, for the last words.
LAST_WORDS_S = 15
#: Set on each pod by training-operator 1.5 and later.
TYPE_LABEL = "training.kubeflow.org/replica-type"
INDEX_LABEL = "training.kubeflow.org/replica-index"


def job_name(name: str, token: str) -> str:
    """The PyTorchJob's name.

    The operator adds `-worker-9998` and makes services of that name, which have at most 63
    characters and begin with a letter (RFC 1035).
    """
    start = "" if name[:1].isalpha() else "j"
    return f"{start}{name}-{token[:8]}"


def labels(name: str, token: str) -> dict[str, str]:
    """What the job and its pods carry."""
    return {
        "app.kubernetes.io/name": name,
        "app.kubernetes.io/instance": job_name(name, token),
        "app.kubernetes.io/component": "training",
        MANAGED_BY: OURS,
        TOKEN_LABEL: token,
    }


def replica(node: int) -> str:
    """Kubernetes' name of a node of the job: `master-0`, `worker-0`, …."""
    return "master-0" if node == 0 else f"worker-{node - 1}"


def node_of(pod_labels: dict[str, str]) -> int | None:
    """The node that a pod is, by its labels; None where the operator did not make it."""
    index = pod_labels.get(INDEX_LABEL, "")
    if not index.isdecimal():
        return None
    return int(index) + (pod_labels.get(TYPE_LABEL, "").lower() == "worker")
