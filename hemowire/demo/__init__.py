"""The one-command demo: starts every program as its own process, watches the wire, and counts nothing itself."""
