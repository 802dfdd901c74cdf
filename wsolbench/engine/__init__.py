"""The evaluation: images to features, features to maps, maps to scores, scores to records."""
