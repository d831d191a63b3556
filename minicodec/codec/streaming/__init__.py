"""The causal networks as functions of (input, state): what live streams and whole files are coded with."""
