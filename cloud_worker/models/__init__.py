"""Architectures, and the bundles that carry their trained weights with everything known about them."""
