"""What reports are made of: markup, scales, pictures, tables and the house style; it knows no figure."""
