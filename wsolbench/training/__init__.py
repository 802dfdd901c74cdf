"""Classifiers trained from image labels."""
