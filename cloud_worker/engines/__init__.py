"""Engines run a bundle's network on tiles; which one ran is part of every diagnosis."""
