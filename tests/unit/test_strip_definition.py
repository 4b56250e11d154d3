"""tools/strip_definition.py: what it takes out of a definition, and what it must leave in."""

from __future__ import annotations

from typing import Any

import yaml

from tools.strip_definition import TARGET, stripped

PUBLISHED = """\
apiVersion: apiextensions.k8s.io/v1
metadata: {name: pytorchjobs.kubeflow.org}
spec:
  versions:
  - name: v1
    additionalPrinterColumns: [{description: a column's text, jsonPath: .x, name: X, type: string}]
    schema:
      openAPIV3Schema:
        description: the whole
        properties:
          description:
            description: a property that is called description
            type: string
          metrics:
            items:
              description: one metric
              properties:
                properties: {description: a property called properties, type: object}
              required: [description]
            type: array
          limits:
            additionalProperties:
              anyOf: [{type: integer}, {type: string}]
              description: a quantity
              x-kubernetes-int-or-string: true
        type: object
"""


def schema_of(text: str) -> Any:
    return yaml.safe_load(text)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def test_only_descriptions_are_removed() -> None:
    assert schema_of(stripped(PUBLISHED)) == {
        "properties": {
            "description": {"type": "string"},
            "metrics": {
                "items": {
                    "properties": {"properties": {"type": "object"}},
                    "required": ["description"],
                },
                "type": "array",
            },
            "limits": {
                "additionalProperties": {
                    "anyOf": [{"type": "integer"}, {"type": "string"}],
                    "x-kubernetes-int-or-string": True,
                }
            },
        },
        "type": "object",
    }


def test_outside_the_schema_nothing_changes() -> None:
    before, after = (yaml.safe_load(text) for text in (PUBLISHED, stripped(PUBLISHED)))
    for definition in (before, after):
        del definition["spec"]["versions"][0]["schema"]
    assert before == after


def test_our_file_is_what_the_script_writes() -> None:
    """Nobody has edited the file by hand: stripping it once more changes no byte."""
    text = TARGET.read_text(encoding="utf-8")
    assert stripped(text) == text
