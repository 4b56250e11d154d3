"""A job spec as plain data, before it is written."""

from prl_submit.spec.write import Tree

__all__ = ["Tree"]
