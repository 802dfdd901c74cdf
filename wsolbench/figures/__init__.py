"""Figures: arrays go in, pictures come out."""
