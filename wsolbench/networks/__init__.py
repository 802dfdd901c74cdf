"""Networks: built, loaded with weights, described, and told apart by their weights files."""
