"""From the camera's file or pixels to the bytes that travel: `encode`, and what it has to know of formats."""
