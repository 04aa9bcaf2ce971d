"""Tests that run the real programs, as processes, through the real broker."""
