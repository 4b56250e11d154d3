"""Make tools/pytorchjob_definition.yaml: the published definition of PyTorchJob without its texts.

usage: python tools/strip_definition.py kubeflow.org_pytorchjobs.yaml

The published file has 640 kB, most of which are descriptions. Neither an API server nor a JSON Schema
needs a description, so the tests use the definition without descriptions: 180 kB. To go to another
version, change VERSION, fetch the file that SOURCE names and run this script.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

VERSION = "v1.9.4"
SOURCE = (
    f"https://raw.githubusercontent.com/kubeflow/training-operator/{VERSION}"
    "/manifests/base/crds/kubeflow.org_pytorchjobs.yaml"
)
TARGET = Path(__file__).resolve().parent / "pytorchjob_definition.yaml"
HEADER = f"""\
# The CustomResourceDefinition of PyTorchJob, of Kubeflow's training operator {VERSION}:
# {SOURCE}
# Copyright The Kubeflow Authors. Licensed under the Apache License, version 2.0 (see LICENSE).
# Changed: tools/strip_definition.py removed every description and wrote short mappings on one line.
"""


def without_descriptions(schema: Any) -> Any:
    """The schema without its `description` texts; a property that is called `description` stays."""
    if isinstance(schema, list):
        return [without_descriptions(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {}
    for key, value in schema.items():
        if key == "properties":  # the keys in it are names of properties, whatever they are called
            found[key] = {name: without_descriptions(each) for name, each in value.items()}
        elif key != "description":
            found[key] = without_descriptions(value)
    return found


def stripped(published: str) -> str:
    """The text of our file, from the text of the published one."""
    definition = yaml.load(published, Loader=yaml.CSafeLoader)
    for version in definition["spec"]["versions"]:
        version["schema"] = without_descriptions(version["schema"])
    return HEADER + yaml.dump(
        definition, Dumper=yaml.CSafeDumper, sort_keys=False, default_flow_style=None, width=100
    )


def main() -> None:
    """Strip the file that the command line names."""
    if len(sys.argv) != 2:
        sys.exit("usage: python tools/strip_definition.py kubeflow.org_pytorchjobs.yaml")
    published = Path(sys.argv[1]).read_text(encoding="utf-8")
    TARGET.write_text(stripped(published), encoding="utf-8")


if __name__ == "__main__":
    main()
