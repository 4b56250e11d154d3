"""What a script asks for -> the sections of a job spec, and their YAML text."""
