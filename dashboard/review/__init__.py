"""A person's answer to a case: draft, final, amended or entered in error; nothing that was signed is ever erased."""
