"""Names, labels and annotations by which a run, its PyTorchJob and its pods find each other."""

from __future__ import annotations

from prl_submit.spec.sections import Kubernetes

#: The container's name. Every training-operator sets MASTER_ADDR, RANK and the like only in a container
#: of this name.
CONTAINER = "pytorch"

MANAGED_BY = "app.kubernetes.io/managed-by"
OURS = "prl-submit"
#: Label with the run's whole token. The job's name has room for half of the token only.
TOKEN_LABEL = "prl-submit/token"
#: Annotation with the run directory that the job belongs to, as the submitter names it. prl-submit
#: compares it, because a user may have copied or edited a run.json.
DIRECTORY_ANNOTATION = "prl-submit/run-directory"
#: Kueue's label with the LocalQueue in which the job waits.
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
#: Seconds of a pod's grace period beyond restarts.grace, in which launch.sh writes exit.json.
LAST_WORDS_S = 15
#: Labels that training-operator 1.5 and later set on each pod.
TYPE_LABEL = "training.kubeflow.org/replica-type"
INDEX_LABEL = "training.kubeflow.org/replica-index"


def kueue_queue(section: Kubernetes) -> str | None:
    """The LocalQueue of Kueue that a job waits in; with Volcano `queue` is Volcano's own."""
    return None if section.scheduler == "volcano" else section.queue


def script_annotation(file: str) -> str:
    """Annotation with the text of a script. A downwardAPI volume gives it to the pod as a file."""
    return f"prl-submit/{file}"


def job_name(name: str, token: str) -> str:
    """The PyTorchJob's name: the spec's name and half of the token.

    The operator appends `-worker-9998` and creates services of that name. A service's name has at most
    63 characters and begins with a letter (RFC 1035), so a `j` precedes a name that begins with a digit.
    """
    start = "" if name[:1].isalpha() else "j"
    return f"{start}{name}-{token[:8]}"


def labels(name: str, token: str) -> dict[str, str]:
    """The labels of the job and of its pods."""
    return {
        "app.kubernetes.io/name": name,
        "app.kubernetes.io/instance": job_name(name, token),
        "app.kubernetes.io/component": "training",
        MANAGED_BY: OURS,
        TOKEN_LABEL: token,
    }


def replica(node: int) -> str:
    """The operator's name for the node of that rank: `master-0`, `worker-0`, …."""
    return "master-0" if node == 0 else f"worker-{node - 1}"


def node_of(pod_labels: dict[str, str]) -> int | None:
    """The node rank of a pod, by the operator's labels; None if the operator did not create it."""
    index = pod_labels.get(INDEX_LABEL, "")
    if not index.isdecimal():
        return None
    return int(index) + (pod_labels.get(TYPE_LABEL, "").lower() == "worker")
