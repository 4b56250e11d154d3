"""Submit a PyTorchJob: ask the API server with dry runs first, then create the job exactly once."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import Enum
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

#: Seconds for which a creation without an answer is repeated, and seconds between two tries.
_GIVE_UP_S = 60.0
_AGAIN_S = 1.0
#: HTTP codes with which a server says that it is overloaded or has a fault; the request may succeed later.
_BUSY = (429, 500, 502, 503, 504)


class _Owner(Enum):
    """Whose PyTorchJob has the name that we want to create."""

    OURS = "ours"
    ANOTHERS = "another's"
    NOBODY = "nobody"
    UNKNOWN = "unknown"


def ask_first(api: Api, manifest: str, tell: Callable[[str], None]) -> None:
    """Let the cluster check everything that it can check without creating anything.

    First a dry run of the job: its schema, the right to create it, its admission. Then a dry run of one of
    its pods: quotas, security standards, service account, priority class. Then the quotas for all pods
    together. `tell` gets warnings. Raises RefusedError, and as Api.create.
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
    """True if the job waits in Kueue's queue until other jobs have released what they use."""
    return QUEUE_LABEL in job["metadata"].get("labels", {})


def _dry_run(api: Api, path: str, body: Any) -> None:
    """Create the object as a dry run, up to three times if the server is busy.

    Raises RefusedStatusError; BackendUnreachableError if the server is busy each time.
    """
    for again in (_AGAIN_S, _AGAIN_S, None):
        try:
            api.create(path, body, dry_run=True)
        except RefusedStatusError as error:
            if "does not support dry run" in error.status.message:
                return  # a webhook of the site; it checks the job when it is created
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
    """Dry-run the pod that the operator will create for node 0. Raises RefusedError."""
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
            return  # this account may not create pods; it need not, because the operator creates them
        refusal = explain(error.status, api.namespace)
        if is_about_quota(error.status) and _waits(job):
            return  # `_ask_quotas` checks whether the job fits once others have ended
        if refusal.key is not None:
            raise RefusedError([refusal]) from None
        # The cause is unknown. Perhaps a policy of the site forbids pods without an owner; the operator's
        # pods have one. So this is only a warning.
        tell(f"warning: of a pod like the job's: {refusal.message}")


def _ask_quotas(api: Api, container: dict[str, Any], nodes: int, *, waits: bool) -> None:
    """Raises RefusedError if all pods together do not fit into the namespace's quotas."""
    if nodes == 1 and not waits:
        return  # the pod's dry run has checked the quotas
    try:
        answer = api.get(api.core("resourcequotas"))
    except RefusedStatusError:
        return  # this account may not list quotas; if one is too small, `status` will tell it
    quotas = msgspec.json.decode(answer, type=QuotaList).items or []
    refusal = exceeded(container, nodes, quotas, used_counts=not waits)
    if refusal is not None:
        raise RefusedError([refusal])


def create(api: Api, manifest: str, name: str, token: str) -> None:
    """Create the job exactly once.

    The job's name contains the token, so repeating the request after a lost answer cannot create a second
    job. After a lost answer a refusal proves nothing: a quota may refuse the second request because the
    first one has created the job. Then prl-submit looks whether the job exists.

    Raises RefusedError or BackendUnreachableError if it is certain that the job does not exist,
    OutcomeUnknownError if it cannot be found out within a minute.
    """
    deadline = time.monotonic() + _GIVE_UP_S
    was_answer_lost = False
    while True:
        fault = _try_to_create(api, manifest)
        if fault is None:
            return
        if isinstance(fault, NotSentError) and not was_answer_lost:
            raise fault
        is_refused = isinstance(fault, RefusedError)
        is_proof = is_refused and not was_answer_lost and "already exists" not in fault.message
        owner = _Owner.NOBODY if is_proof else _owner(api, name, token)
        if owner == _Owner.OURS:
            return
        if is_refused and owner != _Owner.UNKNOWN:
            raise fault
        was_answer_lost = True
        if time.monotonic() > deadline:
            raise OutcomeUnknownError(
                f"{fault.message}: whether it took the job is not known",
                "do not submit again: `prl-submit status latest` will find the job, if there is one",
            )
        time.sleep(_AGAIN_S)


def _try_to_create(api: Api, manifest: str) -> PrlSubmitError | None:
    """None if the job was created, else why not: a RefusedError if trying again is pointless."""
    try:
        api.create(api.jobs(), manifest.encode("utf-8"))
    except RefusedStatusError as error:
        if error.status.code in _BUSY:
            return as_error(error, api.namespace, "take the job")
        return RefusedError([explain(error.status, api.namespace, of_job=True)])
    except BackendUnreachableError as error:
        return error
    return None


def _owner(api: Api, name: str, token: str) -> _Owner:
    """Whose job has that name. NOBODY only if the server has twice said that there is none."""
    for again in (True, False):
        try:
            job = msgspec.json.decode(api.get(api.jobs(name)), type=PyTorchJob)
        except RefusedStatusError as error:
            if error.status.code != 404:
                return _Owner.UNKNOWN
        except BackendUnreachableError:
            return _Owner.UNKNOWN
        else:
            return _Owner.OURS if job.token == token else _Owner.ANOTHERS
        if again:
            time.sleep(_AGAIN_S)
    return _Owner.NOBODY
