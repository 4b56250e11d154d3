"""A spec's layers -> a Plan: every value decided, as frozen data. Pure."""
