"""Downloads that resume: whatever stops one, the next attempt asks the server only for the rest."""

import os
import re
import shutil
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any

from minicodec.console import on_terminal, say
from minicodec.errors import InputError

ATTEMPTS = 5  # connections to one server before giving up; the next call resumes
PAUSE = 2.0  # seconds between them
TIMEOUT = 60.0  # seconds without a byte
CHUNK = 1 << 18


class ResumingDownloader:
    """A downloader for pooch, called with (url, file to write, pooch): collects the bytes in `part`, then moves it.

    Whatever stops it (the server, Ctrl-C), `part` keeps what came, and the next attempt asks only for the rest
    (HTTP Range). InputError: not http(s), refused by the server, or broken off too many times.
    """

    def __init__(self, part: Path, report: Callable[[int, int | None], None]) -> None:
        self.part, self.report = part, report

    def __call__(self, url: str, output_file: str, pooch: Any) -> None:
        """Fetch `url` into `output_file`; `pooch` is part of the protocol and unused."""
        if not url.startswith(("http://", "https://")):
            raise InputError(f"{url}: only http and https addresses can be fetched")
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(PAUSE)
            try:
                if self._rest(url):
                    os.replace(self.part, output_file)
                    return
                problem = "the connection broke off"
            except urllib.error.HTTPError as error:
                error.close()
                if error.code < 500:
                    raise InputError(f"{url}: the server answers {error.code} {error.reason}") from error
                problem = f"{error.code} {error.reason}"
            except (urllib.error.URLError, TimeoutError, ConnectionError, HTTPException) as error:
                reason = getattr(error, "reason", None) or error
                problem = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
                if isinstance(reason, socket.gaierror | ConnectionRefusedError):  # no network, or nobody there
                    raise InputError(f"{url}: cannot be reached ({problem})") from error
        raise InputError(f"{url}: {problem}, {ATTEMPTS} times; the next call continues the download")

    def _rest(self, url: str) -> bool:
        """Append what is missing to `part`; whether it is complete then."""
        have = self.part.stat().st_size if self.part.exists() else 0
        request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
        try:
            response = urllib.request.urlopen(request, timeout=TIMEOUT)
        except urllib.error.HTTPError as error:
            if error.code != 416:  # "range not satisfiable": `part` is complete, or longer than the file
                raise
            error.close()
            if error.headers.get("Content-Range") == f"bytes */{have}":
                return True
            self.part.unlink()
            return False
        with response:
            if response.status != 206 or not _starts_at(response.headers.get("Content-Range"), have):
                have = 0  # the server sends everything from the beginning
            length = response.headers.get("Content-Length")
            total = have + int(length) if length else None
            if total and total - have > shutil.disk_usage(self.part.parent).free:
                raise InputError(f"{self.part}: no room for the {total - have} bytes that are missing")
            with open(self.part, "ab" if have else "wb") as file:
                while chunk := response.read(CHUNK):
                    file.write(chunk)
                    have += len(chunk)
                    self.report(have, total)
        return total is None or have == total  # urllib does not tell an end from a broken connection


class ProgressLines:
    """Lines on stderr, "ljspeech: 1340 of 2621 MB, 5.2 MB/s", at most one a second; on a terminal they stay one."""

    def __init__(self, name: str) -> None:
        self.name, self.begin, self.last, self.first = name, time.monotonic(), 0.0, -1

    def __call__(self, done: int, total: int | None) -> None:
        """Tell that `done` of `total` bytes have come (None: the server does not say how many)."""
        now = time.monotonic()
        terminal = on_terminal()
        if self.first < 0:
            self.first = done
        if done != total and now - self.last < (1 if terminal else 30):
            return
        self.last = now
        speed = (done - self.first) / max(now - self.begin, 1e-3)
        size = f" of {total / 1e6:.0f}" if total else ""
        end = "\n" if done == total or not terminal else ""
        start = "\r" if terminal else ""
        say(f"{start}{self.name}: {done / 1e6:.0f}{size} MB, {speed / 1e6:.1f} MB/s", end=end)


def _starts_at(content_range: str | None, place: int) -> bool:
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", content_range or "")
    return match is not None and int(match[1]) == place
