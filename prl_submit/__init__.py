"""prl-submit: one YAML job spec, checked, rendered and run by torchrun with ms-swift."""

__version__ = "0.1.0"
