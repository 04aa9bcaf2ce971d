"""Turns what programs say of themselves on the wire into points for InfluxDB; it judges and stores no image."""
