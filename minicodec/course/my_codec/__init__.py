"""A neural audio codec in plain Python on NumPy, built in the chapters: every part is a few lines, in the order of the
book. Where a part is not written yet, the library's stands in. `python -m my_codec` trains, encodes and decodes.
"""
