"""Access to disk and to other programs, and making other people's text harmless for a terminal.

Nothing in this package knows about jobs.
"""
