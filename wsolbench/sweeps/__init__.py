"""Grids of runs: backbones × methods × data sets × seeds × settings, on this machine or on many."""
