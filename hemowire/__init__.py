"""The command line and the one-command demo: the only package that knows all programs."""
