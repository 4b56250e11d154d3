"""The API server's refusals: what is missing, which key of the spec it is about, what to do.

Its words are those of apiserver 1.20 to 1.36: apimachinery's errors.go, RBAC's authorizer, the quota
and service account admission.
"""

from __future__ import annotations

import re

from prl_submit.backends.kubernetes.api_status import ApiStatus, RefusedStatusError
from prl_submit.errors import BackendRefusedError, BackendUnreachableError, PrlSubmitError, Refusal
from prl_submit.system.excerpt import one_line

_ROLE = "is the namespace the right one? then ask for the Role that docs/kubernetes.md shows"
_NOT_ALLOWED = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\S+) resource "(?P<resource>[^"]*)"'
    r'(?: in API group "(?P<group>[^"]*)")?'
)
_QUOTA = re.compile(
    r"exceeded quota: (?P<name>[^,]+), requested: (?P<requested>.+?), used: (?P<used>.+?), "
    r"limited: (?P<hard>.+)"
)
_NO_NAMESPACE = re.compile(r'namespaces? "?(?P<name>[^" ]+)"? not found')
_NO_OPERATOR = Refusal(
    None,
    "the cluster knows no PyTorchJobs (kubeflow.org/v1)",
    "install the training operator: kubectl apply --server-side -k "
    "'github.com/kubeflow/training-operator.git/manifests/overlays/standalone?ref=v1.9.4'",
)
#: What an admission plugin says, and the key that causes it.
_CAUSES = (
    (re.compile(r"serviceaccount .*not found", re.IGNORECASE), "kubernetes.service_account"),
    (re.compile(r"no PriorityClass with name", re.IGNORECASE), "kubernetes.priority_class"),
    (
        re.compile(r"violates PodSecurity.*(hostPath volumes|restricted volume types)"),
        "kubernetes.volumes",
    ),
    (re.compile(r"violates PodSecurity", re.IGNORECASE), "kubernetes.extra"),
    (re.compile(r"(maximum|minimum) \S+ usage per|failed quota:", re.IGNORECASE), "resources"),
    (re.compile(r"\.(requests|limits)|resources\b"), "resources"),
    (re.compile(r"tolerations"), "kubernetes.tolerations"),
    (re.compile(r"volumeMounts|volumes"), "kubernetes.volumes"),
    (re.compile(r"nodeSelector"), "kubernetes.node_selector"),
    (re.compile(r"imagePullSecrets"), "kubernetes.image_pull_secrets"),
    (re.compile(r"activeDeadlineSeconds"), "resources.time_limit"),
    (re.compile(r"strict decoding error"), "kubernetes.extra"),
)


def not_allowed(status: ApiStatus, namespace: str) -> Refusal | None:
    """The verb that the account lacks, where RBAC is why; else None."""
    found = _NOT_ALLOWED.search(one_line(status.message))
    if status.code != 403 or found is None:
        return None
    group = f".{found['group']}" if found["group"] else ""
    return Refusal(
        "kubernetes.namespace",
        f"{found['user']} may not {found['verb']} {found['resource']}{group} in namespace {namespace}",
        _ROLE,
    )


def explain(status: ApiStatus, namespace: str, *, of_job: bool = False) -> Refusal:
    """A refusal in words. `of_job`: the answer was to a PyTorchJob."""
    said = one_line(status.message)
    if status.code == 401:
        hint = (
            "log in again: the credentials of the kubeconfig have run out or are another cluster's"
        )
        return Refusal(None, "the cluster does not know who you are (401 Unauthorized)", hint)
    lacking = not_allowed(status, namespace)
    if lacking is not None:
        return lacking
    if status.code == 404:
        missing = _NO_NAMESPACE.search(said)
        if missing:
            hint = f"kubectl create namespace {missing['name']}, or set kubernetes.namespace"
            return Refusal("kubernetes.namespace", f"there is no namespace {missing['name']}", hint)
        if of_job:
            return _NO_OPERATOR
    quota = _QUOTA.search(said)
    if quota:
        return quota_refusal(quota["name"], quota["requested"], quota["used"], quota["hard"])
    for pattern, key in _CAUSES:
        if pattern.search(said):
            return Refusal(key, f"Kubernetes refused the job: {said}")
    return Refusal(None, f"Kubernetes refused the job: {said}")


def is_about_quota(status: ApiStatus) -> bool:
    """Whether a quota is full."""
    return _QUOTA.search(status.message) is not None


def quota_refusal(name: str, requested: str, used: str, hard: str) -> Refusal:
    """What a quota has left is not enough."""
    return Refusal(
        "resources",
        f"quota {name} of the namespace is exceeded: requested {requested}, used {used}, hard {hard}",
        "ask for less, wait until others have ended, or ask for a larger quota: "
        f"kubectl describe quota {name}",
    )


def as_error(
    error: RefusedStatusError, namespace: str, what: str, *, of_job: bool = False
) -> PrlSubmitError:
    """A refusal of something else than a job. `what`: what was tried, for words of no known kind."""
    refusal = explain(error.status, namespace, of_job=of_job)
    kind = (
        BackendUnreachableError
        if error.status.code in (401, 429, 500, 503, 504)
        else BackendRefusedError
    )
    message = refusal.message.replace("Kubernetes refused the job", f"Kubernetes refused to {what}")
    return kind(message, refusal.hint)
