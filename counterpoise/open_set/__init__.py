"""Is a sound none of the classes? How familiar clips are, and how well that tells known classes from foreign ones."""
