"""How long it takes until images flow again after something died, went away or came back: the real programs, measured.

python -m benchmarks.recovery --out benchmarks/results/recovery.md
"""
