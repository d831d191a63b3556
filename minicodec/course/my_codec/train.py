"""Chapter 13: one step, and many of them."""

import numpy as np

from minicodec.course.my_codec.balancer import Balancer
from minicodec.course.my_codec.discriminator import Judge, adversarial_loss, discriminator_loss, feature_loss
from minicodec.course.my_codec.losses import l1_loss, mel_loss
from minicodec.course.my_codec.tensor import Tensor, gradients, parameters

# steps, size, length  updates, crops in each, and samples of a crop
# lr, betas, decay     of Adam; of the averaged weights
# warmup               steps without quantizer
# rival                the step from which on the discriminators take part
# l1, mel              weights of the losses until then; from then on, the balancer's `shares`
# windows              of mel_loss, which also needs a sample_rate
# judges, channels     windows of the discriminators, one each, and their channels
RECIPE = {
    "steps": 1_000, "size": 4, "length": 12_000, "seed": 0, "lr": 1e-3, "betas": (0.5, 0.9), "decay": 0.99,
    "warmup": 0, "l1": 50.0, "mel": 1.0, "windows": (64, 256, 1024),
    "rival": 950, "judges": (1024, 256), "channels": 4,
    "shares": {"l1": 0.1, "mel": 1.0, "adversarial": 3.0, "feature": 3.0},
}  # fmt: skip


def crops(wav, seed, step, size, length):
    """wav (T) -> x (size,length,1): the batch of a step, crops that start at random places of wav."""
    starts = np.random.default_rng([seed, step]).integers(len(wav) - length + 1, size=size)
    return np.stack([wav[start : start + length, None] for start in starts])


def adam_step(p, g, m, v, t, lr, beta1, beta2):
    """p (*p), g (*p), m (*p), v (*p) -> p (*p), m (*p), v (*p), after step number t = 1, 2, 3, ... of Adam."""
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
    step = m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + 1e-8)
    return p - lr * step, m, v


def weight_average(history, decay):
    """history (n,P), weights after each of n steps -> average (P): their moving average after the last one."""
    average = history[0]
    for row in history[1:]:
        average = decay * average + (1 - decay) * row
    return average


class Adam:
    """Adam for Tensors. weights: the list of them; m, v: lists of their averages, zeros at first;
    t: how many steps were made.
    """

    def __init__(self, weights, betas):
        """betas: beta1 and beta2 of adam_step."""
        self.weights, self.betas, self.t = weights, betas, 0
        self.m, self.v = ([np.zeros_like(w.data) for w in weights] for _ in range(2))

    def step(self, slopes, lr):
        """slopes: the weights' gradients, a list. Each w.data becomes what adam_step makes of it,
        in the precision that it had.
        """
        self.t += 1
        for n, (w, g) in enumerate(zip(self.weights, slopes, strict=True)):
            p, self.m[n], self.v[n] = adam_step(w.data, g, self.m[n], self.v[n], self.t, lr, *self.betas)
            w.data = np.asarray(p, w.data.dtype)


def teach_judges(judges, adam, x, decoded, lr):
    """judges (a list), their Adam, x, decoded (B,T,1), arrays -> loss, a number, before the step.

    One step of `adam` down the discriminator_loss, which makes them say more than 1 to x, and less
    than -1 to decoded.
    """
    real, fake = ([judge(Tensor(sound))[0] for judge in judges] for sound in (x, decoded))
    loss = discriminator_loss(real, fake)
    adam.step(gradients(loss, adam.weights), lr)
    return float(loss.data)


def rival_losses(judges, x, decoded):
    """judges (a list), x (B,T,1), an array, decoded (B,T,1), a Tensor -> adversarial, feature.

    Both are Tensors of one number. adversarial: adversarial_loss of the judges' logits of decoded;
    feature: feature_loss over the maps of all judges, in one list; those of x are the aim.
    """
    logits, maps, aims = [], [], []
    for judge in judges:
        verdict, seen = judge(decoded)
        logits.append(verdict)
        maps += seen
        aims += [a.data for a in judge(Tensor(x))[1]]
    return adversarial_loss(logits), feature_loss(aims, maps)


class Trainer:
    """A codec in training: codec and recipe, as they were given; steps, how many were made.

    weights        {path: Tensor}: the codec's parameters
    average        {path: array}: their moving average, at first a copy of each
    adam           an Adam for the weights
    judges         a list of Judges, one for each n_fft in recipe["judges"], from one generator
    judges_adam    an Adam for all parameters of the judges, in their order
    balancer       a Balancer with recipe["shares"]
    """

    def __init__(self, codec, recipe):
        rng = np.random.default_rng([recipe["seed"], 4])
        self.codec, self.recipe, self.steps = codec, recipe, 0
        self.weights = parameters(codec)
        self.average = {path: w.data.copy() for path, w in self.weights.items()}
        self.adam = Adam(list(self.weights.values()), recipe["betas"])
        self.judges = [Judge(n_fft, recipe["channels"], rng) for n_fft in recipe["judges"]]
        self.judges_adam = Adam([w for judge in self.judges for w in parameters(judge).values()], recipe["betas"])
        self.balancer = Balancer(recipe["shares"])

    def step(self, x):
        """x (B,T,1) -> {name: number}: the losses "l1" and "mel", later "adversarial" and "feature".

        Forward, losses, backward, Adam, averages; then it has made one step more. The codec learns
        with lr · cooldown(), the judges with lr.
        """
        recipe, rng = self.recipe, np.random.default_rng([self.recipe["seed"], self.steps, 2])
        z = self.codec.quantizer(self.codec.encoder(Tensor(x)), self.levels(), rng)
        decoded = self.codec.decoder(z)[:, : x.shape[1]]
        heard = Tensor(decoded.data, requires_grad=True)  # the losses go back to here, each on its own
        losses = {"l1": l1_loss(heard, x), "mel": mel_loss(heard, x, recipe["sample_rate"], recipe["windows"])}
        if self.steps < recipe["rival"]:
            (dx,) = gradients(losses["l1"] * recipe["l1"] + losses["mel"] * recipe["mel"], [heard])
        else:
            teach_judges(self.judges, self.judges_adam, x, decoded.data, recipe["lr"])
            losses["adversarial"], losses["feature"] = rival_losses(self.judges, x, heard)
            dx = self.balancer(losses, heard)
        slopes = gradients(decoded, self.adam.weights, dx)  # and from there on, all together
        self.adam.step(slopes, recipe["lr"] * self.cooldown())
        for path, w in self.weights.items():
            rows = np.stack([self.average[path].ravel(), w.data.ravel()])
            self.average[path] = weight_average(rows, recipe["decay"]).reshape(w.data.shape)
        self.steps += 1
        return {name: float(loss.data) for name, loss in losses.items()}

    def levels(self):
        """How many codebooks the next step uses: 0 in the warm-up; all, until all are ready; then
        one of 1, 2, 4, 8, …, as far as there are so many, that rng.choice draws.
        """
        Q = len(self.codec.quantizer.levels)
        if self.steps < self.recipe["warmup"]:
            return 0
        if self.codec.quantizer.ready < Q:
            return Q
        choices = [2**n for n in range(Q.bit_length()) if 2**n <= Q]
        return int(np.random.default_rng([self.recipe["seed"], self.steps, 1]).choice(choices))

    def cooldown(self):
        """What lr is multiplied by: 1, and over the last fifth of the steps on a line down to 0."""
        left = 1 - self.steps / self.recipe["steps"]
        return min(1.0, left / 0.2)


def train(codec, wav, recipe, report):
    """Train a codec on wav (T), with a Trainer: recipe["steps"] steps, with the crops of 0, 1, 2, …

    report(step, losses) is called after each of them. In the end the codec has the averaged weights.
    """
    trainer = Trainer(codec, recipe)
    for step in range(recipe["steps"]):
        report(step, trainer.step(crops(wav, recipe["seed"], step, recipe["size"], recipe["length"])))
    for path, w in trainer.weights.items():
        w.data = np.asarray(trainer.average[path], np.float32)
