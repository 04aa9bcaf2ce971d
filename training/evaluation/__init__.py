"""Judging a trained bundle honestly: from labelled images to figures, pictures and one page; it trains nothing."""
