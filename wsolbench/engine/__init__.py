"""Carrying work out: runs, evaluations of stored scoremaps, training."""
