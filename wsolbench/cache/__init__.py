"""What was computed once and may be needed again: entries in append-only files, kept below one folder of the user."""

from wsolbench.cache.place import VARIABLE, cache_folder
from wsolbench.cache.shelves import Shelf, ShelfFacts, in_use, list_shelves, load_shelf, open_shelf, prune, verify

__all__ = [
    "VARIABLE",
    "Shelf",
    "ShelfFacts",
    "cache_folder",
    "in_use",
    "list_shelves",
    "load_shelf",
    "open_shelf",
    "prune",
    "verify",
]
