"""Codes without loss in fewer bits: a model of their probabilities, and a range coder.

    range_coder      integers only: symbols of known frequencies <-> bytes
    adaptive         frequencies counted as the codes go by; no network
    exact, compiled  float arithmetic that gives the same bits on every machine: its definition, and the same in Numba
    predictor        the language model in that arithmetic: codes so far -> frequencies of the next
    chunks           a few seconds of codes <-> bytes
    container        our entropy-coded .ecdc file: chunks, each with its length and checksum
"""
