"""Hundreds of devices on one broker and one worker, and a long run: what is dropped, who waits, what grows.

python -m benchmarks.fleet --out benchmarks/results/fleet.md
"""
