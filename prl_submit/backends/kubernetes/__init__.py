"""Kubernetes: a plan as a PyTorchJob, and what the API server says of it."""
