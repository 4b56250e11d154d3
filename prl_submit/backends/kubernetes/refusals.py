"""Translate the API server's refusals: which key of the spec caused one, and what the user can do.

The messages are those of kube-apiserver 1.20 to 1.36: apimachinery's errors.go, the RBAC authorizer, and
the admission plugins ResourceQuota and ServiceAccount.
"""

from __future__ import annotations

import re

from prl_submit.backends.kubernetes.api_status import ApiStatus, RefusedStatusError
from prl_submit.errors import BackendRefusedError, BackendUnreachableError, PrlSubmitError, Refusal
from prl_submit.system.untrusted_text import one_line

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
#: Messages of admission plugins, and the key of the spec that causes each. The first match counts.
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
    """The refusal if the account lacks a right (RBAC), naming the verb; None for other refusals."""
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
    """The refusal in words. `of_job`: the request was about a PyTorchJob, not about a pod."""
    if status.code == 401:
        hint = (
            "log in again: the credentials of the kubeconfig have run out or are another cluster's"
        )
        return Refusal(None, "the cluster does not know who you are (401 Unauthorized)", hint)
    refusal = not_allowed(status, namespace)
    if refusal is None and status.code == 404:
        refusal = _not_found(status, of_job=of_job)
    return refusal or _by_message(one_line(status.message))


def _not_found(status: ApiStatus, *, of_job: bool) -> Refusal | None:
    missing = _NO_NAMESPACE.search(one_line(status.message))
    if missing:
        hint = f"kubectl create namespace {missing['name']}, or set kubernetes.namespace"
        return Refusal("kubernetes.namespace", f"there is no namespace {missing['name']}", hint)
    return _NO_OPERATOR if of_job else None


def _by_message(message: str) -> Refusal:
    """The refusal by what an admission plugin says."""
    quota = _QUOTA.search(message)
    if quota:
        return quota_refusal(quota["name"], quota["requested"], quota["used"], quota["hard"])
    keys = [key for pattern, key in _CAUSES if pattern.search(message)]
    return Refusal(keys[0] if keys else None, f"Kubernetes refused the job: {message}")


def is_about_quota(status: ApiStatus) -> bool:
    """True if the API server refused because a ResourceQuota has too little left."""
    return _QUOTA.search(status.message) is not None


def quota_refusal(name: str, requested: str, used: str, hard: str) -> Refusal:
    """The refusal for a quota that has too little left. Amounts are lists such as `pods=4,cpu=8`."""
    return Refusal(
        "resources",
        f"quota {name} of the namespace is exceeded: requested {requested}, used {used}, hard {hard}",
        "ask for less, wait until others have ended, or ask for a larger quota: "
        f"kubectl describe quota {name}",
    )


def as_error(
    error: RefusedStatusError, namespace: str, what: str, *, of_job: bool = False
) -> PrlSubmitError:
    """The error for a refused request that does not submit a job.

    `what`: what was tried, such as `show the log`. Overload, faults of the server and expired credentials
    give a BackendUnreachableError, because the same request may succeed later.
    """
    refusal = explain(error.status, namespace, of_job=of_job)
    message = refusal.message.replace("Kubernetes refused the job", f"Kubernetes refused to {what}")
    may_succeed_later = error.status.code in (401, 429, 500, 503, 504)
    kind = BackendUnreachableError if may_succeed_later else BackendRefusedError
    return kind(message, refusal.hint)
