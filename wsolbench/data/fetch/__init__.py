"""Data sets fetched, unpacked and written in the reference layout."""
