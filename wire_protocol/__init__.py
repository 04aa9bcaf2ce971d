"""The contract between microscope, worker and records store; pure: it never does I/O, reads a clock or draws a random number."""
