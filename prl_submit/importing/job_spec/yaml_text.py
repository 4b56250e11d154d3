"""The writer of specs, which lies beside their reader."""

from prl_submit.spec.write import write_spec

__all__ = ["write_spec"]
