"""Where runs and steps work, and where their history is kept."""
