"""What has to run, cut into runs here or handed to the daemon."""
