"""Measuring: how fast the ops are."""
