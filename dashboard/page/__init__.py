"""The hematologist's page: cases as they come, white cells first, a signature at the end; it classifies nothing."""
