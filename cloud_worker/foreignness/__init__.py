"""How foreign an image is to what a bundle learned from; says a distance, never a class."""
