"""The microscope agent: it captures, gates, encodes and keeps images until the records store has them; it classifies nothing."""
