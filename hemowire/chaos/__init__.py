"""The path under faults: workload, nemesis, history and checker, each apart from the others."""
