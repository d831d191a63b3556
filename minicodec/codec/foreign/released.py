"""Models that others have published: their names, addresses and licences, and where this machine keeps them.

Nothing here uses the network: `codec/fetch.py` does, and only when somebody asks for it. In the cache

    encodec_24khz/model.safetensors       a codec that was fetched, in our format
    encodec_24khz-d7cc33bc.th             the published file: a language model that was fetched, or any file that
                                          somebody copied there by hand
    facebook/encodec_24khz/               config.json and model.safetensors, as `transformers` publishes them
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

CACHE_VARIABLE = "MINICODEC_CACHE"
ENCODEC_URL = "https://dl.fbaipublicfiles.com/encodec/v0/"
HUB_URL = "https://huggingface.co/"
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
HUB_FILES = ("config.json", "model.safetensors")

ENCODEC_LICENCE = (
    "the publisher's. The package encodec 0.1.1 of October 2022 is under CC BY-NC 4.0: no commercial use. Its "
    "repository has been under the MIT licence since April 2023, and does not say which of the two holds for the "
    "weights: https://github.com/facebookresearch/encodec/issues/69"
)


@dataclass(frozen=True)
class Released:
    """A published model.

    url, files      the address of the folder, and the files in it. Digits behind a dash begin a file's SHA-256.
    megabytes       to download, about; 0: not known
    rates, use      for a table of models
    licence         in full; licence_word for a table
    lm              name of the language model of its codes
    """

    url: str
    files: tuple[str, ...]
    megabytes: int
    rates: str
    use: str
    licence: str
    licence_word: str
    lm: str | None = None


def _hub(name: str, megabytes: int, rates: str, use: str, licence_word: str) -> Released:
    card = f"{HUB_URL}{name}"
    licence = f"the publisher's, {licence_word}: its model card is {card}"
    return Released(f"{card}/resolve/main/", HUB_FILES, megabytes, rates, use, licence, licence_word)


RATES_24 = "24 kHz mono; 1.5, 3, 6, 12, 24 kbit/s"
RATES_48 = "48 kHz stereo; 3, 6, 12, 24 kbit/s"
USE_24, USE_48 = "speech, music, any sound; streams", "music in stereo; chunks of 1 s"
NOT_CLEAR = "CC BY-NC 4.0 or MIT"

RELEASED = {
    "encodec_24khz": Released(
        ENCODEC_URL,
        ("encodec_24khz-d7cc33bc.th",),
        93,
        RATES_24,
        USE_24,
        ENCODEC_LICENCE,
        NOT_CLEAR,
        "encodec_lm_24khz",
    ),
    "encodec_48khz": Released(
        ENCODEC_URL,
        ("encodec_48khz-7e698e3e.th",),
        76,
        RATES_48,
        USE_48,
        ENCODEC_LICENCE,
        NOT_CLEAR,
        "encodec_lm_48khz",
    ),
    "encodec_lm_24khz": Released(
        ENCODEC_URL,
        ("encodec_lm_24khz-1608e3c0.th",),
        62,
        "language model of encodec_24khz",
        "smaller files: encode --lm",
        ENCODEC_LICENCE,
        NOT_CLEAR,
    ),
    "encodec_lm_48khz": Released(
        ENCODEC_URL,
        ("encodec_lm_48khz-7add9fc3.th",),
        36,
        "language model of encodec_48khz",
        "smaller files: encode --lm",
        ENCODEC_LICENCE,
        NOT_CLEAR,
    ),
    "facebook/encodec_24khz": _hub("facebook/encodec_24khz", 93, RATES_24, f"{USE_24}, from transformers", "see there"),
    "facebook/encodec_48khz": _hub("facebook/encodec_48khz", 76, RATES_48, f"{USE_48}, from transformers", "MIT"),
}


def about(name: str) -> Released | None:
    """The published model with this name, or any folder of `transformers` on Hugging Face: "owner/name"."""
    if name in RELEASED:
        return RELEASED[name]
    return _hub(name, 0, "", "", "see there") if HUB_NAME.fullmatch(name) else None


def cache_folder() -> Path:
    """Where models are kept: MINICODEC_CACHE, or a folder of the user's own, where the system has such things."""
    if folder := os.environ.get(CACHE_VARIABLE):
        return Path(folder)
    import pooch

    return Path(pooch.os_cache("minicodec"))


def in_cache(name: str) -> Path | None:
    """The file or folder of a published model, if this machine has it."""
    released = about(name)
    if released is None:
        return None
    cache = cache_folder()
    if released.files == HUB_FILES:
        return cache / name if all((cache / name / file).is_file() for file in HUB_FILES) else None
    converted, original = cache / name / "model.safetensors", cache / released.files[0]
    return next((path for path in (converted, original) if path.is_file()), None)


def how_to_get(name: str) -> str:
    """One line: `name` is not here, what brings it, and where it would be found if somebody copied it there."""
    released = RELEASED[name]
    place = cache_folder() / (name if released.files == HUB_FILES else "")
    return (
        f"{name}: is not on this machine. Get it with: minicodec fetch {name} ({released.megabytes} MB); "
        f"or copy {' and '.join(released.files)} from {released.url} to {place}"
    )


def fetched() -> list[str]:
    """Names of folders of Hugging Face in the cache that the table does not have."""
    folders = (path.parent for path in cache_folder().glob(f"*/*/{HUB_FILES[1]}"))
    names = sorted(f"{folder.parent.name}/{folder.name}" for folder in folders)
    return [name for name in names if name not in RELEASED and in_cache(name)]
