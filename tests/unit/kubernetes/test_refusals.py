"""Refusals of API servers, in their exact words, and what users read."""

from __future__ import annotations

import pytest

from prl_submit.backends.kubernetes.api_status import ApiStatus, RefusedStatusError
from prl_submit.backends.kubernetes.refusals import as_error, explain, not_allowed
from prl_submit.errors import BackendRefusedError, BackendUnreachableError, Refusal

JOB = 'pytorchjobs.kubeflow.org "mr-01234567" is forbidden'
POD = 'pods "mr-01234567-master-0" is forbidden'
ROLE = "is the namespace the right one? then ask for the Role that docs/kubernetes.md shows"


def refused(code: int, message: str, *, of_job: bool = False) -> Refusal:
    """The refusal in namespace `ml`."""
    return explain(ApiStatus(code, "", message), "ml", of_job=of_job)


def test_401() -> None:
    """An unknown user is told to log in again."""
    refusal = refused(401, "Unauthorized", of_job=True)
    assert refusal.key is None
    assert refusal.message == "the cluster does not know who you are (401 Unauthorized)"
    assert "log in again" in (refusal.hint or "")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            'pytorchjobs.kubeflow.org is forbidden: User "dev" cannot create resource "pytorchjobs" in API group "kubeflow.org" in the namespace "ml"',
            "dev may not create pytorchjobs.kubeflow.org in namespace ml",
        ),
        (
            'pods is forbidden: User "system:serviceaccount:ml:default" cannot list resource "pods" in API group "" in the namespace "ml"',
            "system:serviceaccount:ml:default may not list pods in namespace ml",
        ),
        (
            'pods "x" is forbidden: User "dev" cannot get resource "pods/log" in API group "" in the namespace "ml": RBAC: role.rbac.authorization.k8s.io "trainer" not found',
            "dev may not get pods/log in namespace ml",
        ),
        (
            'events is forbidden: User "a b@example.com" cannot list resource "events" in API group "" in the namespace "ml": requires one of ["container.events.list"] permission(s).',
            "a b@example.com may not list events in namespace ml",
        ),
        # not of this form since 1.7, but asked of without a group
        ('forbidden: User "dev" cannot create resource "pods/exec"', "dev may not create pods/exec in namespace ml"),
    ],
)  # fmt: skip
def test_rights(said: str, message: str) -> None:
    """A lack of rights names the verb and the role to ask for."""
    assert refused(403, said, of_job=True) == Refusal("kubernetes.namespace", message, ROLE)
    assert not_allowed(ApiStatus(403, "Forbidden", said), "ml") is not None
    assert not_allowed(ApiStatus(500, "", said), "ml") is None


def test_a_403_that_is_not_about_rights() -> None:
    assert not_allowed(ApiStatus(403, "Forbidden", f"{POD}: exceeded quota: x"), "ml") is None


@pytest.mark.parametrize(
    "said", ["404 page not found", "the server could not find the requested resource"]
)
def test_no_operator(said: str) -> None:
    """A cluster without PyTorchJobs says how to install the operator."""
    refusal = refused(404, said, of_job=True)
    assert refusal.key is None
    assert refusal.message == "the cluster knows no PyTorchJobs (kubeflow.org/v1)"
    assert "kubectl apply" in (refusal.hint or "")
    assert "PyTorchJobs" not in refused(404, said).message


@pytest.mark.parametrize("of_job", [True, False])
def test_no_namespace(of_job: bool) -> None:
    """A namespace that does not exist says how to make it."""
    assert refused(404, 'namespaces "ml" not found', of_job=of_job) == Refusal(
        "kubernetes.namespace",
        "there is no namespace ml",
        "kubectl create namespace ml, or set kubernetes.namespace",
    )


def test_quota() -> None:
    """An exceeded quota is told with its numbers."""
    said = (
        f"{POD}: exceeded quota: team, requested: pods=1,requests.nvidia.com/gpu=8, "
        "used: pods=2,requests.nvidia.com/gpu=4, limited: pods=2,requests.nvidia.com/gpu=8"
    )
    refusal = refused(403, said)
    assert refusal.key == "resources"
    assert refusal.message == (
        "quota team of the namespace is exceeded: requested pods=1,requests.nvidia.com/gpu=8, "
        "used pods=2,requests.nvidia.com/gpu=4, hard pods=2,requests.nvidia.com/gpu=8"
    )
    assert (refusal.hint or "").endswith("kubectl describe quota team")


INVALID = 'Pod "mr-01234567-master-0" is invalid'
REPLICA = "spec.pytorchReplicaSpecs.Master.template.spec"


@pytest.mark.parametrize(
    ("code", "said", "key"),
    [
        (403, f'{POD}: error looking up service account ml/trainer: serviceaccount "trainer" not found', "kubernetes.service_account"),
        (403, f"{POD}: no PriorityClass with name high was found", "kubernetes.priority_class"),
        (403, f'{POD}: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "pytorch" must set securityContext.allowPrivilegeEscalation=false), runAsNonRoot != true', "kubernetes.extra"),
        (403, f'{POD}: violates PodSecurity "baseline:latest": hostPath volumes (volume "data")', "kubernetes.volumes"),
        (403, f'{POD}: violates PodSecurity "restricted:latest": restricted volume types (volume "data" uses restricted volume type "nfs")', "kubernetes.volumes"),
        (403, f"{POD}: maximum memory usage per Container is 1Gi, but limit is 2Gi", "resources"),
        (403, f"{POD}: [minimum cpu usage per Pod is 2, but request is 1, x]", "resources"),
        (403, f"{POD}: maximum nvidia.com/gpu usage per Container is 4, but limit is 8", "resources"),
        (403, f"{POD}: failed quota: team: must specify limits.cpu for: pytorch; limits.memory for: pytorch", "resources"),
        (422, f'{INVALID}: spec.containers[0].resources.limits[nvidia.com/gpu]: Invalid value: "1500m": must be an integer', "resources"),
        (422, f'{INVALID}: spec.tolerations[0].operator: Invalid value: "x": value must be empty when `operator` is \'Exists\'', "kubernetes.tolerations"),
        (422, f'{INVALID}: spec.containers[0].volumeMounts[2].mountPath: Invalid value: "/dev/shm": must be unique', "kubernetes.volumes"),
        (422, f'{INVALID}: spec.volumes[2].persistentVolumeClaim.claimName: Required value', "kubernetes.volumes"),
        (422, f'{INVALID}: spec.nodeSelector: Invalid value: "a b": name part must consist of', "kubernetes.node_selector"),
        (422, f"{INVALID}: spec.imagePullSecrets[0].name: Required value", "kubernetes.image_pull_secrets"),
        (422, f"{INVALID}: spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647", "resources.time_limit"),
        (400, f'PyTorchJob in version "v1" cannot be handled as a PyTorchJob: strict decoding error: unknown field "{REPLICA}.hostNetwrok"', "kubernetes.extra"),
        (400, f'PyTorchJob in version "v1" cannot be handled as a PyTorchJob: strict decoding error: unknown field "{REPLICA}.volumes[2].pcv"', "kubernetes.volumes"),
        (400, 'admission webhook "policy.example" denied the request: name your team', None),
        (403, f"{JOB}: unable to create new content in namespace ml because it is being terminated", None),
        (404, 'pytorchjobs.kubeflow.org "mr-01234567" not found', None),
        (409, 'pytorchjobs.kubeflow.org "mr-01234567" already exists', None),
        (500, "Internal error occurred: failed calling webhook", None),
    ],
)  # fmt: skip
def test_which_key_it_is_about(code: int, said: str, key: str | None) -> None:
    assert refused(code, said) == Refusal(key, f"Kubernetes refused the job: {said}")


def test_words_come_on_one_line() -> None:
    assert refused(422, "two\n  lines ").message == "Kubernetes refused the job: two lines"


@pytest.mark.parametrize("code", [400, 403, 404, 409, 422])
def test_a_refusal_of_something_else(code: int) -> None:
    error = as_error(RefusedStatusError(ApiStatus(code, "", "no")), "ml", "show the log")
    assert type(error) is BackendRefusedError
    assert error.message == "Kubernetes refused to show the log: no"


@pytest.mark.parametrize("code", [401, 429, 500, 503, 504])
def test_an_answer_that_is_no_status(code: int) -> None:
    error = as_error(RefusedStatusError(ApiStatus(code, "", "no")), "ml", "show the log")
    assert type(error) is BackendUnreachableError


def test_the_hint_goes_along() -> None:
    said = 'pods is forbidden: User "dev" cannot list resource "pods" in API group "" in the namespace "ml"'
    error = as_error(RefusedStatusError(ApiStatus(403, "", said)), "ml", "list its jobs")
    assert (error.message, error.hint) == ("dev may not list pods in namespace ml", ROLE)
