"""Pages of the site that are made from the program: nothing in them is written by hand."""
