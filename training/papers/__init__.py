"""The papers' printed confusion matrices and figures as data files; what they say is checked elsewhere."""
