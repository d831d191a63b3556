"""A folder of many files into a folder of many files: on all cores or machines, and going on where it stopped."""
