"""Networks: building, weights, description, and identification of weights files."""
