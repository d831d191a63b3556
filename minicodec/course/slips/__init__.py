"""More ways to go wrong, by chapter: those at the edges (silence, zeros, other types, sizes at the limit), and others.

MISTAKES of each file: name of an exercise -> what is looked for after the mistakes that stand with the exercise.
"""
