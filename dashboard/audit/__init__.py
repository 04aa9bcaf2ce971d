"""The book of who signed in, looked, signed and exported: entries only come, and each seals the ones before."""
