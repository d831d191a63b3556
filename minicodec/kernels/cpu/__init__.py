"""Operators on CPUs, compiled by Numba. Each file has the name of the definition in `ops/` that it makes fast."""
