"""Layers with parameters, and the optimisers that move them."""
