"""Features of one's own, to copy. Each file says how it is used; tests/examples runs them."""
