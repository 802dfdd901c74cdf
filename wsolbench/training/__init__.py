"""Training of classifiers from image labels."""
