"""What one would have done otherwise: other ways to carry images, run and timed like hemowire's own."""
