"""From a Plan to the scripts that a node runs. Pure, except that the templates are read."""
