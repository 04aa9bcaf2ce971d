"""The look that all pages and reports share."""
