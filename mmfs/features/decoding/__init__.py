"""Stored bytes to arrays, by processes without torch, through shared memory. See README.md in this folder."""
