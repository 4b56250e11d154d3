"""Handing a PyTorchJob to the API server: asked first, then made once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from prl_submit.backends.kubernetes.api import Api
from prl_submit.backends.kubernetes.api_status import RefusedStatusError
from prl_submit.backends.kubernetes.http_client import NotSentError
from prl_submit.backends.kubernetes.labels import QUEUE_LABEL, replica
from prl_submit.backends.kubernetes.objects import PyTorchJob
from prl_submit.backends.kubernetes.quota import QuotaList, exceeded
from prl_submit.backends.kubernetes.refusals import as_error, explain, is_about_quota, not_allowed
from prl_submit.backends.kubernetes.yaml_text import load
from prl_submit.errors import (
    BackendUnreachableError,
    OutcomeUnknownError,
    PrlSubmitError,
    RefusedError,
)

#: Seconds until a creation without an answer is given up, and between two tries.
_GIVE_UP_S = 60.0
_AGAIN_S = 1.0
#: Answers with which the server says that it could not look: the same question may do later.
_BUSY = (429, 500, 502, 503, 504)
_OURS, _OTHERS, _NOBODYS, _UNKNOWN = "ours", "others", "nobody's", "unknown"


def ask_first(api: Api, manifest: str, tell: Callable[[str], None]) -> None:
    """All that the cluster can say without making anything. Raises RefusedError, as Api.create.

    The job's schema, the rights to make it and its admission; then one of its pods, which quotas,
    security standards, the service account and the priority class are about; then the quotas again,
    for all pods together. `tell` hears what may be about such questions alone.
    """
    try:
        _dry_run(api, api.jobs(), manifest.encode("utf-8"))
    except RefusedStatusError as error:
        raise RefusedError([explain(error.status, api.namespace, of_job=True)]) from None
    job = load(manifest)
    template = job["spec"]["pytorchReplicaSpecs"]["Master"]["template"]
    _ask_for_a_pod(api, job, template, tell)
    nodes = sum(each.get("replicas", 1) for each in job["spec"]["pytorchReplicaSpecs"].values())
    _ask_quotas(api, template["spec"]["containers"][0], nodes, waits=_waits(job))


def _waits(job: dict[str, Any]) -> bool:
    """Whether it waits in a queue until others have given back what they use."""
    return QUEUE_LABEL in job["metadata"].get("labels", {})


def _dry_run(api: Api, path: str, body: Any) -> None:
    """Raises RefusedStatusError; BackendUnreachableError where the server cannot look just now."""
    for again in (_AGAIN_S, _AGAIN_S, None):
        try:
            api.create(path, body, dry_run=True)
        except RefusedStatusError as error:
            if "does not support dry run" in error.status.message:
                return  # a webhook of the site: it speaks when the job is made
            if error.status.code not in _BUSY:
                raise
            if again is None:
                raise as_error(error, api.namespace, "look at the job") from None
            time.sleep(again)
        else:
            return


def _ask_for_a_pod(
    api: Api, job: dict[str, Any], template: dict[str, Any], tell: Callable[[str], None]
) -> None:
    metadata = {**template.get("metadata", {}), "name": f"{job['metadata']['name']}-{replica(0)}"}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {**template["spec"], "restartPolicy": "Never"},
    }
    try:
        _dry_run(api, api.core("pods"), pod)
    except RefusedStatusError as error:
        if not_allowed(error.status, api.namespace) is not None:
            return  # not ours to ask; the operator's pods are its own
        refusal = explain(error.status, api.namespace)
        if is_about_quota(error.status) and _waits(job):
            return  # `_ask_quotas` looks whether it could ever fit
        if refusal.key is not None:
            raise RefusedError([refusal]) from None
        # A policy on pods without an owner, perhaps, which the job's own pods have.
        tell(f"warning: of a pod like the job's: {refusal.message}")


def _ask_quotas(api: Api, container: dict[str, Any], nodes: int, *, waits: bool) -> None:
    if nodes == 1 and not waits:
        return  # the pod has been asked for
    try:
        answer = api.get(api.core("resourcequotas"))
    except RefusedStatusError:
        return  # not ours to see; the operator will be refused, and `status` says so
    quotas = msgspec.json.decode(answer, type=QuotaList).items or []
    refusal = exceeded(container, nodes, quotas, used_counts=not waits)
    if refusal is not None:
        raise RefusedError([refusal])


def create(api: Api, manifest: str, name: str, token: str) -> None:
    """Make the job, once: its name carries the token, so a second try cannot make a second job.

    Raises RefusedError and BackendUnreachableError where it is certain that there is no job of ours;
    OutcomeUnknownError where nobody can say. After one unclear answer no refusal is certain by
    itself: a quota refuses the second try because the first one has filled it.
    """
    deadline = time.monotonic() + _GIVE_UP_S
    is_unclear = False
    while True:
        fault = _try_to_create(api, manifest)
        if fault is None:
            return
        if isinstance(fault, NotSentError) and not is_unclear:
            raise fault
        is_no = isinstance(fault, RefusedError)
        is_certain = is_no and not is_unclear and "already exists" not in fault.message
        answer = _NOBODYS if is_certain else _whose(api, name, token)
        if answer == _OURS:
            return
        if is_no and answer != _UNKNOWN:
            raise fault
        is_unclear = True
        if time.monotonic() > deadline:
            raise OutcomeUnknownError(
                f"{fault.message}: whether it took the job is not known",
                "do not submit again: `prl-submit status latest` will find the job, if there is one",
            )
        time.sleep(_AGAIN_S)


def _try_to_create(api: Api, manifest: str) -> PrlSubmitError | None:
    """None where it is made; a RefusedError where the server says no for good."""
    try:
        api.create(api.jobs(), manifest.encode("utf-8"))
    except RefusedStatusError as error:
        if error.status.code in _BUSY:
            return as_error(error, api.namespace, "take the job")
        return RefusedError([explain(error.status, api.namespace, of_job=True)])
    except BackendUnreachableError as error:
        return error
    return None


def _whose(api: Api, name: str, token: str) -> str:
    """Whose job has the name; nobody's only where the server has said so twice."""
    for again in (True, False):
        try:
            job = msgspec.json.decode(api.get(api.jobs(name)), type=PyTorchJob)
        except RefusedStatusError as error:
            if error.status.code != 404:
                return _UNKNOWN
        except BackendUnreachableError:
            return _UNKNOWN
        else:
            return _OURS if job.token == token else _OTHERS
        if again:
            time.sleep(_AGAIN_S)
    return _NOBODYS
