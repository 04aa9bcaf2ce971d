"""The contract between microscope, worker and records store; pure: no I/O, no clock, no random numbers of its own."""
