"""Reading a job spec: YAML text becomes nodes that remember their origin, and nodes become typed sections.

Everything here is pure: no function reads the disk, the clock or the environment.
"""
