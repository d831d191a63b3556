"""Command lines: numbers that are none, options that belong elsewhere, names that are no files."""

import os

from minicodec.training import config
from tests.campaign.kinds import kind
from tests.campaign.spoil import MANY_DIGITS, VALUES, pick
from tests.campaign.watch import Case

NUMBERS = (
    "nan", "inf", "-inf", "1e400", "-1", "0", "-0", "1e-300", "0.5", "2", "1_0", "１", "0x10", "", " ", "true",
    "1e5", "999999999999", MANY_DIGITS, "-" + MANY_DIGITS, "1" * 400, "½", "\ud800",
)  # fmt: skip
NAMES = (
    "nowhere.wav", "nowhere", "", ".", "/dev/null", "/proc/self/mem", "-", "a\nb.wav", "\x1b[31m.wav",
    b"caf\xe9.wav", "x" * 5000 + ".wav", "a" * 250 + ".wav", "con.wav", "-x.wav", "é.wav", "%s%n.wav",
)  # fmt: skip
KEYS = (
    "steps", "batch", "seconds", "lr", "betas", "cooldown", "ema", "warmup_steps", "rates", "keep", "seed",
    "valid_clips", "loss.mel", "loss.mel_windows", "loss.mel_kind", "adversary.windows", "adversary.filters",
    "adversary.enabled", "augment.gain", "augment.rt60", "seanet.strides", "seanet.filters", "seanet.kernel",
    "quantizer.levels", "quantizer.entries", "bandwidths", "sample_rate", "channels", "name", "chunk_samples",
    "chunk_stride", "normalize", "transform", "transform.hop", "nothing", "", "training", "seanet",
)  # fmt: skip
SETTINGS = (*(f"{key}={value}" for key in KEYS[:11] for value in (*NUMBERS[:12], MANY_DIGITS)), "=", "x", "steps=")
NAMED = tuple(name for name in NAMES if isinstance(name, str) and name not in ("-", "."))


def _name(case: Case) -> str:
    return os.fsdecode(pick(case.rng, NAMES))


def _sound(case: Case) -> str:
    """Mostly one that is there."""
    if case.rng.random() < 0.3:
        return _name(case)
    return str(case.samples.path(pick(case.rng, ("pcm16.wav", "a.flac", "data", "plain.ecdc", "small.safetensors"))))


def _model(case: Case) -> str:
    return _name(case) if case.rng.random() < 0.2 else str(case.samples.path("small.safetensors"))


def _options(case: Case, options: dict[str, tuple[str, ...]]) -> list[str]:
    chosen = [name for name in options if case.rng.random() < 0.3]
    return [word for name in chosen for word in (name, *([pick(case.rng, options[name])] if options[name] else []))]


@kind("words: encode, decode, info", 1)
def coding(case: Case) -> None:
    """Their options; outputs go into the case's folder, or to names at which nothing can be written."""
    rng = case.rng
    command = pick(rng, ("encode", "decode", "info"))
    target = str(case.folder / pick(rng, ("o.ecdc", "o.wav", "o.txt", "", "no/o.wav", "o.flac", "x" * 300 + ".wav")))
    options = {
        "encode": {"-b": NUMBERS, "--lm": ("adaptive", "nowhere.safetensors", ""), "--no-mix": (), "-r": (), "-v": ()},
        "decode": {"--start": NUMBERS, "--skip-damaged": (), "-r": (), "-q": (), "--lm": ("nowhere", "-")},
        "info": {"--json": ()},
    }[command]
    words = [command, _sound(case), "-m", _model(case), *_options(case, options)]
    if command != "info":
        words += ["-o", target]
    words += [pick(rng, ("--nothing", "-f", "-f", "--help", "-h", "--sta", "--=", "-"))] if rng.random() < 0.1 else []
    _run(case, words)


def _run(case: Case, words: list[str]) -> None:
    here = os.getcwd()
    os.chdir(case.folder)  # where names that no folder is named with lead
    try:
        case.command(*words)
    finally:
        os.chdir(here)


@kind("words: train, evaluate, listen, grade", 0.5)
def others(case: Case) -> None:
    """Numbers of the other commands, with nothing there to work on: all are refused."""
    rng, folder = case.rng, case.folder
    places = ["--data", folder, "--out", folder / "new"]
    lines = {
        "train": (["tiny_24khz", *places], {"--steps": NUMBERS, "--set": SETTINGS}),
        "train-lm": ([_model(case), *places], {"--steps": NUMBERS, "--set": SETTINGS}),
        "evaluate": (
            [_model(case), *places],
            dict.fromkeys(("--kbps", "--seconds", "--jobs"), NUMBERS) | {"--metrics": NAMED, "--baselines": NAMED},
        ),
        "listen": (
            [folder],
            {"--screens": NUMBERS, "--port": NUMBERS, "--host": NAMED, "--analyse": (), "--clips": NAMED},
        ),
        "grade": (
            [folder, "--out", folder / "g.csv"],
            dict.fromkeys(("--seed", "--seconds", "--memory", "--chapter"), NUMBERS) | {"--variant": NAMED},
        ),
        "convert": ([_name(case), folder / "c.safetensors"], {"--half": ()}),
        "stream": ([pick(rng, ("encode", "decode", "both"))], {"-b": NUMBERS, "-m": NAMED}),
        "models": ([], {"--x": NUMBERS}),
        "completion": ([pick(rng, ("bash", "tcsh", "zsh"))], {}),
        "play": ([_name(case)], {"-m": NAMED}),
        pick(rng, ("", "enode", "--version", "help", "\ud800", "\x1b")): ([_name(case)], {}),
    }
    command = pick(rng, list(lines))
    first, options = lines[command]
    _run(case, [command, *map(str, first), *_options(case, options)])


@kind("words: --set", 14)
def settings(case: Case) -> None:
    """Of a training: TOML values of every kind."""
    rng = case.rng
    values = (
        *VALUES,
        *NUMBERS,
        "[16, 32]",
        "1979-05-27",
        "'x'",
        '"""',
        "{a=1}",
        "[[",
        "\\",
        "0b1",
        "+nan",
        "[nan]",
        "[1,'a']",
    )
    given = [f"{pick(rng, KEYS)}={pick(rng, values)}" for _ in range(int(rng.integers(1, 4)))]
    case.call(
        config.from_preset, pick(rng, ("tiny_24khz", "transform_24khz", "encodec_48khz", "nothing")), "data", given
    )
