"""The records store, its proof that nothing is lost, and the hematologist's terminal; it touches no pixel."""
