"""Systems that are trained to localize, one module each."""
