"""Kubernetes: a run is one PyTorchJob, created and read through the API server.

The API: `kubeconfig` finds the cluster, `api` and `http_client` send requests, `pod_exec` runs programs in
pods, `objects` and `api_status` are what it answers, `refusals` and `rights` explain refusals.
What is sent: `manifest` with `labels`, `volumes`, `gpu_types`, `merge_patch`, `yaml_text`; `options` has the
section's rules; `submitting` and `quota` ask first and create once.
A run's state: `states` asks for all runs, `ownership` checks each job, `evidence` collects what is known of
it, `judge`, `ended_job`, `node_ends`, `remaining_pods` and `reasons` decide and explain.
Files: `log_copy`, `node_log` and `log_lines` copy logs, `collect_files` and `helper_pod` everything else.
"""
