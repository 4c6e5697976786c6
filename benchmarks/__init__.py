"""How fast the servers of the course are, beside real ones."""
