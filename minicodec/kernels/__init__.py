"""How operators are made fast: one folder a device, with the file names of `ops/` again. `backend` loads them."""
