"""The .ecdc file: codes as bytes, entropy-coded or not, in constant memory however long it is."""
