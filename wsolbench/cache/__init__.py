"""What was computed once and may be needed again: entries in append-only files, kept below one folder of the user."""

from wsolbench.cache.place import VARIABLE, cache_folder
from wsolbench.cache.shelves import Shelf, ShelfFacts, list_shelves, load_shelf, mark_used, open_shelf, prune, verify

__all__ = [
    "VARIABLE",
    "Shelf",
    "ShelfFacts",
    "cache_folder",
    "list_shelves",
    "load_shelf",
    "mark_used",
    "open_shelf",
    "prune",
    "verify",
]
