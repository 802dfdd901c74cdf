"""Checks of a data set before any run."""
