"""This machine: launch.sh as a detached process."""
