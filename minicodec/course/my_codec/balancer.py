"""Chapter 12: gradients in their shares."""

import numpy as np

from minicodec.course.my_codec.tensor import gradients


def gradient_size(g):
    """g (B,T,C) -> size (), a number: the mean over the batch of each item's Euclidean norm."""
    return np.sqrt((g**2).sum(axis=(1, 2))).mean()


def running_average(totals, counts, sizes, decay):
    """totals (K), counts (K), sizes (K), decay -> totals (K), counts (K), averages (K), one step later."""
    totals, counts = decay * totals + sizes, decay * counts + 1
    return totals, counts, totals / counts


def balance(gradients, averages, weights, norm):
    """gradients (K,B,T,C), averages (K), weights (K), norm -> dx (B,T,C): the K gradients in their shares."""
    factors = norm * weights / weights.sum() / (averages + 1e-12)
    return np.tensordot(factors, gradients, axes=1)


class Balancer:
    """Makes the weights of K losses their shares of the gradient. weights: {name: number}.

    totals (K), counts (K): of the running averages, in the order of the weights; zeros at first.
    """

    def __init__(self, weights, decay=0.999):
        self.weights, self.decay = weights, decay
        self.totals, self.counts = np.zeros(len(weights)), np.zeros(len(weights))

    def __call__(self, losses, decoded):
        """losses {name: Tensor of one number}, all made of decoded (B,T,C), a Tensor -> dx (B,T,C), with norm = 1."""
        each = np.stack([gradients(losses[name], [decoded])[0] for name in self.weights])
        sizes = np.array([gradient_size(g) for g in each])
        self.totals, self.counts, averages = running_average(self.totals, self.counts, sizes, self.decay)
        return balance(each, averages, np.array(list(self.weights.values())), 1.0)
