"""Recipes: how each bundle is trained, as TOML; a recipe holds no results."""
