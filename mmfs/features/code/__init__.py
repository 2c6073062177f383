"""Which code a feature's results depend on, read off the source without running it; a part of its fingerprint."""
