"""The load generator: scenarios in, measured runs of the real programs out; `hemowire bench` is its command."""
