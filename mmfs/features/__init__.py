"""Features: what is computed from media, once, and kept with a fingerprint of everything that determined it."""
