"""Architectures, and the bundles that carry trained weights with all that is known of them."""
