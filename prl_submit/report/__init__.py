"""One HTML file about some runs: curves, settings, hints and completions, which a browser shows without a server."""
