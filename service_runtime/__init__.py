"""The input and output that every program needs; it knows no image and no program."""
