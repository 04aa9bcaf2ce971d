"""Images of three sizes over bad links, by hemowire and by what one would have done otherwise."""
