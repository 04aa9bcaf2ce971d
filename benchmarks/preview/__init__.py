"""How soon a slow link brings a first draft, and how often that draft agrees with the final result.

python -m benchmarks.preview --bundle BALL4_BUNDLE --out benchmarks/results/preview.md
"""
