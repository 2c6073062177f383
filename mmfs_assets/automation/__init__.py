"""What happens by itself: new media, stale shards, the nights, and people who are told."""
