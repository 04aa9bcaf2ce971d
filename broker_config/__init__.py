"""Mosquitto's configuration, accounts and access rules, and its start; it carries no message."""
