"""Codes without loss in fewer bits: a model of their probabilities, and a range coder.

    range_coder      integers only: symbols of known frequencies <-> bytes
    adaptive         frequencies counted as the codes go by; no network
    predictor        the language model, in arithmetic that gives the same bits on every machine (ops/exact.py)
    chunk_coder      a few seconds of codes <-> bytes
    container        our entropy-coded .ecdc file: chunks, each with its length and checksum
"""
