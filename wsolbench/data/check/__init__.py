"""Data sets checked before any run."""
