"""A platform that starts one pasted command in a container on each node: Aliyun PAI-DLC, Volcengine, ModelArts, and others.

No program of ours talks to the platform. The user pastes the command into the platform's form, and all that
prl-submit knows of the job afterwards stands in files of the run directory, which is on a shared disk.
"""
