"""The waiting queue: a process of ours on this machine that starts runs when their turn has come."""
