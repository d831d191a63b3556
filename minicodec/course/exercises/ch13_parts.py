"""Chapter 13, for my_codec: Adam, the step and the training."""

import copy
import inspect
from functools import cache
from unittest.mock import patch

import numpy as np

from minicodec.course.calling import array_of, flat, variable
from minicodec.course.catalogue import of_part
from minicodec.course.my_codec import train as library
from minicodec.course.my_codec.discriminator import Judge
from minicodec.course.my_codec.quantizer import Codec
from minicodec.course.my_codec.tensor import gradients, parameter, parameters

CONFIG = {"seanet": {"filters": 2, "latent": 2, "strides": (2, 4), "lstm_layers": 1},
          "quantizer": {"levels": 4, "entries": 4}}  # fmt: skip
RECIPE = library.RECIPE | {
    "steps": 10, "size": 2, "length": 64, "warmup": 1, "rival": 3, "windows": (32,), "judges": (32,), "channels": 2,
    "sample_rate": 8_000, "decay": 0.9, "l1": 5.0, "lr": 5e-3,
}  # fmt: skip


def _number(loss):
    """The number that came back. TypeError: it is none."""
    if hasattr(loss, "send_back"):
        raise TypeError("a number should come back, not a Tensor: float(loss.data)")
    if loss is None:
        raise TypeError("a number should come back: is there a `return`?")
    return float(loss)


def _walked(part, arrays, steps, betas):
    weights = [parameter(a) for a in arrays]
    adam = part(weights, betas)
    for slopes, lr in steps:
        adam.step(slopes, lr)
    single = all(w.data.dtype == np.float32 for w in weights)
    same = [id(w) for w in adam.weights] == [id(w) for w in weights]
    values = flat([w.data for w in weights]).astype(np.float64)
    return values, flat(adam.m), flat(adam.v), np.array([adam.t, single, same], int)


def _walks(rng, fresh):
    for count, betas in [(3, (0.5, 0.9)), (2 + int(fresh), (0.9, 0.99))]:
        arrays = [rng.normal(size=(2, 3)), rng.normal(size=4)]
        yield arrays, [([rng.normal(size=a.shape) for a in arrays], lr) for lr in (0.1, 0.02, 0.3)[:count]], betas


def _judges(seed):
    rng = np.random.default_rng(seed)
    return [Judge(32, 2, rng), Judge(16, 1, rng)]


def _taught(part, x, decoded, lr, seed):
    judges = _judges(seed)
    weights = [w for judge in judges for w in parameters(judge).values()]
    adam = library.Adam(weights, (0.5, 0.9))
    loss = part(judges, adam, x, decoded, lr)
    return _number(loss), flat([w.data for w in weights]).astype(np.float64), np.array([adam.t])


def _pairs(rng, fresh):
    for seed in (1, 2):
        yield *(0.3 * rng.normal(size=(2, 1, 50 + int(fresh), 1))), 0.01, seed


def _told(part, x, decoded, seed):
    judges, heard = _judges(seed), variable(decoded)
    both = part(judges, x, heard)
    if not isinstance(both, tuple) or len(both) != 2:
        raise TypeError("two Tensors should come back: adversarial, feature")
    return *(array_of(loss) for loss in both), *(gradients(loss, [heard])[0] for loss in both)


@cache
def _codec():
    codec = Codec(CONFIG, np.random.default_rng(3))
    vars(codec.decoder.layers[-1])["weight_g"] = parameter([[[1.0]]])
    return codec


def _trained(part, batches, first_step):
    """Some steps from this one on: the losses, the weights, and their averages."""
    trainer = part(copy.deepcopy(_codec()), RECIPE)
    trainer.steps = first_step
    losses = [trainer.step(x) for x in batches]
    if not all(isinstance(step, dict) for step in losses):
        raise TypeError("step should return a dict: {name: number}")
    weights = flat([w.data for _, w in sorted(parameters(trainer.codec).items())])
    averages = flat([trainer.average[path] for path in sorted(parameters(trainer.codec))])
    ready = np.array([trainer.codec.quantizer.ready, trainer.steps, trainer.adam.t, trainer.judges_adam.t])
    words = "; ".join(" ".join(sorted(step)) for step in losses)
    numbers = np.array([_number(step[name]) for step in losses for name in sorted(step)])
    schedule = []
    for step in (0, 1, 5, 8, 9):
        trainer.steps = step
        schedule.append(trainer.cooldown())
    many = []
    for trainer.codec.quantizer.ready in (4, 1):
        for step in range(12):
            trainer.steps = step
            many.append(trainer.levels())
    return words, numbers, weights.astype(np.float64), averages.astype(np.float64), ready, np.array(schedule), np.array(many)


def _batches(rng, fresh):
    x = [(0.2 * rng.normal(size=(2, 60, 1))).astype(np.float32) for _ in range(4)]  # 7 frames and a half
    yield x[:1], 0
    yield x[:2], 1
    yield x[2:], 3
    yield x[:1], 9


def _run(part, wav, recipe):
    codec, told = copy.deepcopy(_codec()), []

    class Recorder:
        """A Trainer that computes nothing: what `train` asks of it."""

        def __init__(self, codec, recipe):
            self.weights = parameters(codec)
            self.average = {path: w.data + 1 for path, w in self.weights.items()}

        def step(self, x):
            told.append(x)
            return {"l1": float(np.abs(x).sum())}

    reports = []

    def report(step, losses):
        reports.append([step, losses["l1"]])

    # Whoever reads my_codec's file has written it there; the library's, which may stand in, has names of its own.
    theirs, ours = inspect.unwrap(part).__globals__, vars(library)
    with patch.dict(theirs, {"Trainer": Recorder}), patch.dict(ours, {"Trainer": Recorder}):
        part(codec, wav, recipe, report)
    weights = [w.data for _, w in sorted(parameters(codec).items())]
    return np.array(told), np.array(reports), flat(weights).astype(np.float64)


def _recordings(rng, fresh):
    for steps in (3, 2 + int(fresh)):
        yield rng.normal(size=40), RECIPE | {"steps": steps, "length": 8, "seed": steps}


EXERCISES = [
    of_part(
        "Adam", 13, _walks, _walked, returned=("the weights", "m", "v", "t; is all in float32; is `weights` the list given"), rtol=1e-5,
        slips=[
            ("        self.t += 1\n", "", "t counts the steps: it is 1 in the first one, for adam_step divides by 1 - beta^t"),
            ("betas, 0", "betas, 1", "t is how many steps were made: 0 at first, and 1 in the first one"),
            ("w.data = np.asarray", "w = np.asarray", "`w = ...` gives a name another value; the Tensor's array is w.data"),
            ("        self.t += 1\n", "        self.t = 1\n", "t counts the steps: the corrections of step 1 are used in all"),
            ("p, self.m[n], self.v[n] = adam_step", "p, _, _ = adam_step", "m and v are not kept for the next step"),
            ("w.data = np.asarray(p, w.data.dtype)", "w.data = p", "the weights' precision has changed: np.asarray(p, w.data.dtype)"),
            ("self.t, lr,", "self.t, 1e-3,", "lr is left out"),
            ("*self.betas)", "*self.betas[::-1])", "the betas are exchanged"),
        ],
        hint="a loop over the weights, their gradients, and the lists m and v.",
    ),
    of_part(
        "teach_judges", 13, _pairs, _taught, points=2, returned=("loss", "the judges' weights", "steps of Adam"), rtol=1e-4,
        slips=[
            ("for sound in (x, decoded)", "for sound in (decoded, x)", "x are the recordings: they stand first"),
            ("adam.weights), lr)", "adam.weights), 2 * lr)", "the step is twice as large as lr says"),
            ("    return float(loss.data)", "    real, fake = ([judge(Tensor(sound))[0] for judge in judges] for sound in (x, decoded))\n"
             "    return float(discriminator_loss(real, fake).data)", "this is the loss after the step; the one before it was asked for"),
            ("    adam.step(gradients(loss, adam.weights), lr)\n", "", "the judges did not learn: adam.step"),
            ("gradients(loss, adam.weights)", "[-g for g in gradients(loss, adam.weights)]", "the judges learn to make the loss larger"),
            ("return float(loss.data)", "return 2 * float(loss.data)", "the loss is twice as large as it should be"),
        ],
        hint="judge(Tensor(x)) gives logits and maps; discriminator_loss takes the lists of logits.",
    ),
    of_part(
        "rival_losses", 13, lambda rng, fresh: ((x, d, seed) for x, d, _, seed in _pairs(rng, fresh)), _told, points=2,
        returned=("adversarial", "feature", "the gradient of adversarial", "the gradient of feature"), rtol=1e-5,
        slips=[
            ("maps += seen", "maps = seen", "the maps of all judges count, not of the last alone"),
            ("judge(Tensor(x))[1]", "judge(Tensor(decoded.data))[1]", "the maps to be matched are those of the recordings"),
            ("verdict, seen = judge(decoded)", "verdict, seen = judge(Tensor(decoded.data))", "decoded must stay the Tensor that it is, or nothing goes back to it"),
            ("adversarial_loss(logits)", "discriminator_loss([judge(Tensor(x))[0] for judge in judges], logits)",
             "that is the judges' own loss; adversarial_loss is that of the codec"),
            ("feature_loss(aims, maps)", "feature_loss(aims, maps) * len(judges)", "one feature_loss over all maps: not one for each judge, added up"),
            ("logits.append(verdict)", "logits.append(judge(Tensor(x))[0])", "the judges' verdict on what was decoded is asked for"),
            ("return adversarial_loss(logits), feature_loss(aims, maps)", "return feature_loss(aims, maps), adversarial_loss(logits)",
             "adversarial stands first, feature second"),
        ],
        hint="judge(decoded) with the Tensor, judge(Tensor(x)) for what is to be matched: its arrays.",
    ),
    of_part(
        "Trainer", 13, _batches, _trained, points=4, rtol=2e-4,
        returned=("names of the losses", "the losses", "the weights", "their averages", "levels ready, steps, steps of both Adams",
                  "cooldown", "levels"),
        slips=[
            ("            teach_judges(self.judges, self.judges_adam, x, decoded.data, recipe[\"lr\"])\n", "",
             "the discriminators never learn: teach_judges"),
            ("recipe[\"lr\"] * self.cooldown()", "recipe[\"lr\"]", "at the end the learning rate falls: · cooldown()"),
            ("rows = np.stack([self.average[path].ravel(), w.data.ravel()])", "rows = np.stack([w.data.ravel(), self.average[path].ravel()])",
             "the average comes first, the newest weights second"),
            ("        self.steps += 1\n", "", "the steps are not counted"),
            ("[:, : x.shape[1]]", "", "what is decoded has whole frames, and is longer than x: cut it to x.shape[1]"),
            ("[recipe[\"seed\"], 4]", "recipe[\"seed\"]", "the generator of the judges' first weights has the seed [seed, 4]"),
            ("[self.recipe[\"seed\"], self.steps, 2]", "self.recipe[\"seed\"]", "the quantizer gets a generator of each step, with the seed [seed, steps, 2]"),
            ("[self.recipe[\"seed\"], self.steps, 1]", "self.recipe[\"seed\"]", "levels draws with a generator of each step, with the seed [seed, steps, 1]"),
            ("2**n for n in range(Q.bit_length()) if 2**n <= Q", "n + 1 for n in range(Q)", "levels chooses among the powers of two"),
            ("decoded.data, recipe[\"lr\"])", "decoded.data, recipe[\"lr\"] * self.cooldown())", "the judges learn with lr itself: cooldown is for the codec"),
            ("w.data.copy() for", "0 * w.data for", "the average begins as the weights, not as zeros"),
            ("self.steps < recipe[\"rival\"]", "self.steps <= recipe[\"rival\"]", "the discriminators take part from step `rival` on, not from the next one"),
            ("left / 0.2", "left / 0.8", "cooldown falls from 1 to 0 over the last FIFTH of the steps: left / 0.2"),
            ("losses[\"l1\"] * recipe[\"l1\"] + losses[\"mel\"] * recipe[\"mel\"]", "losses[\"l1\"] + losses[\"mel\"]",
             "until the rivals join, l1 and mel are weighted as the recipe says"),
            ("gradients(decoded, self.adam.weights, dx)", "gradients(decoded, self.adam.weights)", "dx goes back from decoded, not ones"),
            ("min(1.0, left / 0.2)", "left", "the learning rate falls only in the last fifth of the steps"),
            ("if self.codec.quantizer.ready < Q:", "if False:", "until all levels are ready, all are asked for"),
        ],
        hint="forward, losses of `heard`, dx; then gradients(decoded, weights, dx), Adam, averages, steps + 1.",
    ),
    of_part(
        "train", 13, _recordings, _run, returned=("the batches", "what is reported", "the weights at the end", "in float32?"),
        slips=[
            ("trainer.average[path], np.float32)", "w.data, np.float32)", "in the end the codec gets the averaged weights"),
            ("in range(recipe[\"steps\"])", "in range(1, recipe[\"steps\"] + 1)", "the steps are 0, 1, 2, ...: range(steps)"),
            ("recipe[\"seed\"], step,", "recipe[\"seed\"], 0,", "each step has crops of its own"),
            ("recipe[\"size\"], recipe[\"length\"]", "1, recipe[\"length\"]", "the recipe says how many crops there are in a batch"),
            ("recipe[\"seed\"], step,", "0, step,", "the recipe's seed is left out"),
            ("report(step, trainer", "report(step + 1, trainer", "steps are reported from 0 on"),
        ],
        hint="a Trainer; a loop that calls step with crops, and report; then w.data = the average, as float32.",
    ),
]  # fmt: skip
