"""The Dagster code location: what is computed from what, and when. Plumbing only; the work is done in `mmfs`."""
