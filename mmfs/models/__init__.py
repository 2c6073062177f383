"""The demo models that ship with mmfs, and how they are made: see README.md in this folder."""
