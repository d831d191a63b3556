"""How operators are made fast: a folder a device, with the file names of `ops/` again."""
