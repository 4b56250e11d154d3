"""Handing a PyTorchJob to the API server: asked first, then made once."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from prl_submit.errors import (
    BackendRefusedError,
    BackendUnreachableError,
    OutcomeUnknownError,
    RefusedError,
)
from prl_submit.kubernetes.api import Api, NotSentError, RefusedStatusError
from prl_submit.kubernetes.documents import load
from prl_submit.kubernetes.names import replica
from prl_submit.kubernetes.objects import Job
from prl_submit.kubernetes.quota import QuotaList, exceeded
from prl_submit.kubernetes.refusals import explain, not_allowed

#: Seconds until a creation without an answer is given up, and between two tries.
_GIVE_UP_S = 60.0
_AGAIN_S = 1.0
#: Answers with which the server says that it could not look: the same question may do later.
_BUSY = (429, 500, 502, 503, 504)


def ask_first(api: Api, manifest: str) -> None:
    """All that the cluster can say without making anything. Raises RefusedError, as Api.create.

    The job's schema, the rights to make it and its admission; then one of its pods, which quotas,
    security standards, the service account and the priority class are about; then the quotas again,
    for all pods together.
    """
    try:
        api.create(api.jobs(), manifest.encode("utf-8"), dry_run=True)
    except RefusedStatusError as error:
        raise RefusedError([explain(error.status, api.namespace, of_job=True)]) from None
    job = load(manifest)
    replicas = job["spec"]["pytorchReplicaSpecs"]
    _ask_for_a_pod(api, job, replicas["Master"]["template"])
    nodes = sum(each.get("replicas", 1) for each in replicas.values())
    _ask_quotas(api, replicas["Master"]["template"]["spec"]["containers"][0], nodes)


def _ask_for_a_pod(api: Api, job: dict[str, Any], template: dict[str, Any]) -> None:
    metadata = {**template.get("metadata", {}), "name": f"{job['metadata']['name']}-{replica(0)}"}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {**template["spec"], "restartPolicy": "Never"},
    }
    try:
        api.create(api.core("pods"), pod, dry_run=True)
    except RefusedStatusError as error:
        if not_allowed(error.status, api.namespace) is None and error.status.code not in _BUSY:
            raise RefusedError([explain(error.status, api.namespace)]) from None


def _ask_quotas(api: Api, container: dict[str, Any], nodes: int) -> None:
    if nodes == 1:
        return  # the pod has been asked for
    try:
        answer = api.get(api.core("resourcequotas"))
    except RefusedStatusError:
        return  # not ours to see; the operator will be refused, and `status` says so
    quotas = msgspec.json.decode(answer, type=QuotaList).items or []
    refusal = exceeded(container, nodes, quotas)
    if refusal is not None:
        raise RefusedError([refusal])


def create(api: Api, manifest: str, name: str, token: str) -> None:
    """Make the job, once: its name carries the token, so a second try cannot make a second job.

    Raises RefusedError; BackendUnreachableError where it is certain that there is no job;
    OutcomeUnknownError where nobody can say.
    """
    deadline = time.monotonic() + _GIVE_UP_S
    body = manifest.encode("utf-8")
    may_be_there = False
    while True:
        try:
            api.create(api.jobs(), body)
        except RefusedStatusError as error:
            if error.status.code == 409:
                _require_ours(api, name, token)
                return
            if error.status.code not in _BUSY:
                raise RefusedError([explain(error.status, api.namespace, of_job=True)]) from None
            fault = BackendUnreachableError(explain(error.status, api.namespace).message)
        except NotSentError as error:
            if not may_be_there:
                raise
            fault = error
        except BackendUnreachableError as error:
            fault = error
        else:
            return
        may_be_there = True
        if time.monotonic() > deadline:
            raise OutcomeUnknownError(
                f"{fault.message}: whether it took the job is not known",
                "do not submit again: `prl-submit status latest` will find the job, if there is one",
            )
        time.sleep(_AGAIN_S)


def _require_ours(api: Api, name: str, token: str) -> None:
    """409: there is a job of that name. Ours, where an answer was lost; else Raises RefusedError."""
    try:
        job = msgspec.json.decode(api.get(api.jobs(name)), type=Job)
    except RefusedStatusError as error:
        raise RefusedError([explain(error.status, api.namespace)]) from None
    if job.token != token:
        raise BackendRefusedError(f"there is another PyTorchJob {name} in {api.namespace}")
