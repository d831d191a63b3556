"""Hostile inputs, and killed processes: see README.md beside this file."""
