"""From the layers of a job spec to a Plan: frozen data in which every value is decided. Pure."""
