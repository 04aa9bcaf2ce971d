"""The microscope agent: captures, gates, encodes, keeps until recorded; it classifies nothing."""
