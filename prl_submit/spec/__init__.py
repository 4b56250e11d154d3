"""What a user writes: YAML text -> nodes that remember where each value came from -> typed sections. Pure."""
