"""Bring a published model to this machine: download it, check it, and keep it in the user's cache.

Only called when somebody asks for it by name. What is known about a file before it comes is used to check it: the
digits in the names of EnCodec's files begin their SHA-256; Hugging Face tells the SHA-256 of large files in a header.
"""

import hashlib
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any

from minicodec.codec.foreign.released import HUB_FILES, RELEASED, Released, about, cache_folder, in_cache
from minicodec.codec.pretrained import load
from minicodec.download import TIMEOUT, ResumingDownloader
from minicodec.errors import InputError
from minicodec.files import check_target, exclusive

Report = Callable[[int, int | None], None]


def fetch(name: str, report: Callable[[str], Report] | None = None, say: Callable[[str], None] = print) -> Path:
    """The published model `name` in the cache; it is downloaded if it is not there -> its file or folder.

    "encodec_24khz", "encodec_48khz", "encodec_lm_24khz", "encodec_lm_48khz", or a folder of `transformers` on Hugging
    Face, as "facebook/encodec_24khz".

    report(file name) is called for each file and gives what is called with (bytes so far, bytes in all or None).
    say: gets a line about the licence before anything is downloaded. What a broken download leaves is used by the
    next call. Two processes may fetch the same model: the second waits.
    InputError, in one line with the address, the command and the folder for copies by hand: no such name, no
    connection, refused by the server, another file than was published, no room or no permission to write.
    """
    released = about(name)
    if released is None:
        raise InputError(f"{name}: no such model; there are {', '.join(RELEASED)}, and OWNER/NAME of Hugging Face")
    if path := _ready(name):
        return path
    cache = cache_folder()
    home = cache / name if released.files == HUB_FILES else cache
    try:
        home.mkdir(parents=True, exist_ok=True)
        check_target(home / released.files[-1], overwrite=True)
    except (OSError, InputError) as error:
        line = error if isinstance(error, InputError) else f"{home}: cannot be written ({error.strerror})"
        raise InputError(f"{line}; MINICODEC_CACHE names another folder") from None
    with exclusive(home / f".{Path(name).name}.lock", lambda: say(f"{name}: waiting for another process")):
        if path := _ready(name):  # the other process has it now
            return path
        if not in_cache(name):
            say(f"{name}: {released.megabytes or '?'} MB from {released.url}")
            say(f"licence: {released.licence}")
            for file in released.files:
                _download(name, released, file, home, report(file) if report else lambda done, total: None)
        return _convert(name, released, home)


def _ready(name: str) -> Path | None:
    """The model in the cache, if nothing is left to do."""
    path = in_cache(name)
    by_hand = path is not None and path.suffix == ".th" and RELEASED[name].lm is not None
    return None if by_hand else path


def _download(name: str, released: Released, file: str, home: Path, report: Report) -> None:
    """One file, whole and checked, or not at all."""
    target, url = home / file, released.url + file
    if target.is_file():
        return
    part, unchecked = home / f"{file}.part", home / f"{file}.unchecked"
    try:
        expected = published_digest(url, file)
        ResumingDownloader(part, report)(url, str(unchecked), None)
    except InputError as error:
        by_hand = f"{file} is also found if it is copied to {home} by hand"
        raise InputError(f"{error}; try again: minicodec fetch {name}; {by_hand}") from None
    except OSError as error:
        raise InputError(f"{part}: cannot be written ({error.strerror or error})") from None
    with open(unchecked, "rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    if not digest.startswith(expected):
        unchecked.unlink()
        begins = f"its SHA-256 begins with {digest[: min(len(expected), 16)]}, not with {expected[:16]}"
        raise InputError(f"{url}: is not what was published: {begins}; it was thrown away")
    unchecked.replace(target)


def _convert(name: str, released: Released, home: Path) -> Path:
    """Make of the files what is loaded from now on, which shows that they can be."""
    if released.files == HUB_FILES:
        try:
            load(home)
        except InputError:
            for file in released.files:
                (home / file).unlink()
            raise
        return home
    original = home / released.files[0]
    if released.lm is None:  # a language model: it is built for its codec, when both are loaded
        return original
    codec, path = load(original), home / name / "model.safetensors"
    path.parent.mkdir(exist_ok=True)
    codec.save(path, overwrite=True)
    original.unlink()
    return path


def published_digest(url: str, file: str) -> str:
    """What the SHA-256 of a file must begin with, by its name or by its server; "": nobody tells."""
    if match := re.search(r"-([0-9a-f]{8,64})\.th$", file):
        return match[1]
    if file != HUB_FILES[1]:
        return ""
    try:
        with _opener().open(urllib.request.Request(url, method="HEAD"), timeout=TIMEOUT) as response:
            headers = response.headers
    except urllib.error.HTTPError as error:  # a redirection, which is not followed, is one of these
        with error:
            headers = error.headers
    except (OSError, HTTPException):  # the download itself will say why
        return ""
    match = re.fullmatch(r'"?([0-9a-f]{64})"?', headers.get("X-Linked-ETag", ""))
    return match[1] if match else ""


def _opener() -> urllib.request.OpenerDirector:
    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *args: Any) -> None:
            return None

    return urllib.request.build_opener(Stay)
