"""The learning rate's schedules.

Adam's steps are as long as its learning rate, whatever the gradient's size. At a constant one the weights never settle:
they keep wandering around what they have found. So both schedules end at 0.
"""

import math


def cooldown(lr: float, step: int, steps: int, share: float) -> float:
    """`lr`, which falls to 0 in the last `share` of the steps: by 1 - sqrt(share of the fall that is over).

    A run can be made longer, or end earlier, without having been planned so: only the fall depends on the end
    [Hagele24, §3].
    """
    remaining, length = steps - step, share * steps
    return lr * (1.0 if remaining >= length else 1 - math.sqrt(1 - max(remaining, 0) / length))


def warmup_cosine(lr: float, step: int, steps: int, warmup_steps: int) -> float:
    """A line that rises to `lr` in the first `warmup_steps`, then half a cosine down to 0."""
    if step < warmup_steps:
        return lr * (step + 1) / warmup_steps
    done = (step - warmup_steps) / max(1, steps - warmup_steps)
    return lr * (1 + math.cos(math.pi * done)) / 2
