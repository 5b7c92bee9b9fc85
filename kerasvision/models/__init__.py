"""Networks by name, and what turns one into a classifier."""
