"""Download and preparation of data sets: files, archives and lists in the reference layout."""
