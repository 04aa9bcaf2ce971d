"""What is learned once per device: limits of the gate and um per pixel; it looks at no patient's case."""
