"""One asset a file, and what their pages say."""
