"""To copy: features of one's own, and training. Each file says how it is used; tests/examples runs them."""
