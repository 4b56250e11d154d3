"""What a PyTorchJob may hold: its definition's own schema, unknown fields refused."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

#: The definition of training-operator v1.9.4.
DEFINITION = Path(__file__).resolve().parents[2] / "tools" / "pytorchjob_definition.yaml"
#: The newest Kubernetes whose strict schema we have.
KUBERNETES = "1.37"


def faults(job: Any) -> list[str]:
    """What a strict API server with that definition would have against a job."""
    found = [f"{error.json_path}: {error.message}" for error in _validator().iter_errors(job)]
    for kind, replica in job["spec"]["pytorchReplicaSpecs"].items():
        template = replica["template"]
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {**template["metadata"], "name": "x"},
            "spec": template["spec"],
        }
        try:
            kubernetes_validate.validate(pod, KUBERNETES, strict=True)
        except kubernetes_validate.ValidationError as error:
            found.append(f"{kind}: {error.message} at {list(error.path)}")
    return found


@cache
def _validator() -> jsonschema.Draft202012Validator:
    definition = yaml.load(DEFINITION.read_bytes(), Loader=yaml.CSafeLoader)
    [version] = [each for each in definition["spec"]["versions"] if each["name"] == "v1"]
    return jsonschema.Draft202012Validator(_strict(version["schema"]["openAPIV3Schema"]))


def _strict(schema: Any) -> Any:
    """The schema as JSON Schema that refuses what it does not name."""
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    found = {
        key: _strict(value)
        for key, value in schema.items()
        if key not in ("properties", "format", "description", "default")
    }
    if "properties" in schema:
        found["properties"] = {key: _strict(value) for key, value in schema["properties"].items()}
        if found["properties"].keys() == {"apiVersion", "kind", "metadata", "spec", "status"}:
            found["properties"]["metadata"] = {"type": "object"}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            found.setdefault("additionalProperties", False)
    if (
        schema.get("type") == "object"
        and schema.get("properties") is None
        and not found.get("additionalProperties")
    ):
        found.pop("additionalProperties", None)
    return found
