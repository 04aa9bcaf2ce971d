"""One module per subcommand: `add_arguments(parser)` and `run(args) -> int`; programs load inside `run`."""
