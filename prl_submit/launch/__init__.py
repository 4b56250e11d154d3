"""A Plan -> the text of what a node runs. Pure, but for reading the templates."""
