"""A case is the fields of one smear: their combined result, running while fields arrive; it signs nothing."""
