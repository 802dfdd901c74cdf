"""Reading data sets from disk: the reference metadata layout, images, and what identifies a data set."""
