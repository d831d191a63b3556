"""Public datasets: where they are, how to know that they arrived whole, and how to fetch and unpack one.

The SHA-256 sums are those that torchaudio's dataset modules state (torchaudio/datasets/librispeech.py, libritts.py,
ljspeech.py). pooch checks them; the download resumes where a broken one stopped, which pooch alone does not do.
"""

import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from minicodec.download import ProgressLines, ResumingDownloader
from minicodec.errors import InputError

UNPACKED_LIMIT = 200 << 30  # bytes; several times the largest of the datasets


@dataclass(frozen=True)
class Dataset:
    """A tar archive of audio files, with its licence and one line about its content."""

    url: str
    sha256: str
    licence: str
    about: str


def _openslr(page: int, part: str, sha256: str, about: str) -> Dataset:
    return Dataset(f"http://www.openslr.org/resources/{page}/{part}.tar.gz", sha256, "CC BY 4.0", about)


DATASETS = {
    "librispeech-dev-clean": _openslr(
        12, "dev-clean", "76f87d090650617fca0cac8f88b9416e0ebf80350acb97b343a85fa903728ab3", "16 kHz read English"
    ),
    "librispeech-test-clean": _openslr(
        12, "test-clean", "39fde525e59672dc6d1551919b1478f724438a95aa55f874b576be21967e6c23", "16 kHz read English"
    ),
    "librispeech-train-clean-100": _openslr(
        12, "train-clean-100", "d4ddd1d5a6ab303066f14971d768ee43278a5f2a0aa43dc716b0e64ecbbbf6e2", "16 kHz read English"
    ),
    "libritts-dev-clean": _openslr(
        60, "dev-clean", "da0864e1bd26debed35da8a869dd5c04dfc27682921936de7cff9c8a254dbe1a", "24 kHz read English"
    ),
    "libritts-test-clean": _openslr(
        60, "test-clean", "234ea5b25859102a87024a4b9b86641f5b5aaaf1197335c95090cde04fe9a4f5", "24 kHz read English"
    ),
    "ljspeech": Dataset(
        "https://data.keithito.com/data/speech/LJSpeech-1.1.tar.bz2",
        "be1a30453f28eb8dd26af4101ae40cbf2c50413b1bb21936cbcdc6fae3de8aa5",
        "public domain",
        "22.05 kHz, one woman reading English",
    ),
}


def fetch(
    name: str,
    folder: str | os.PathLike[str],
    *,
    url: str | None = None,
    report: Callable[[int, int | None], None] | None = None,
) -> Path:
    """Download the dataset `name`, check it and unpack it into folder/name -> that path; nothing if it is there.

    `url` names a mirror; the checksum stays the same. `report(bytes so far, bytes in all or None)` replaces the
    progress lines on stderr. A download that breaks off leaves folder/name.part, and the next call continues it; the
    archive is removed once it is unpacked.
    InputError: an unknown name, no connection, another checksum, a damaged archive or one that would write outside of
    its folder, not enough room.
    """
    import pooch

    if name not in DATASETS:
        raise InputError(f"{name}: no such dataset; there are {', '.join(DATASETS)}")
    target = Path(folder) / name
    if target.is_dir():
        return target
    dataset = DATASETS[name]
    url = url or dataset.url
    download = ResumingDownloader(target.with_name(name + ".part"), report or ProgressLines(name))
    pooch.get_logger().setLevel("WARNING")  # it would print the temporary path
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        archive = Path(
            pooch.retrieve(url, f"sha256:{dataset.sha256}", name + ".archive", target.parent, downloader=download)
        )
        unpack(archive, target)
        archive.unlink()
    except InputError:
        raise
    except ValueError as error:  # pooch: the checksum
        raise InputError(f"{url}: the checksum is not that of {name}; the download was thrown away") from error
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({error.strerror or error})") from error
    return target


def unpack(archive: Path, target: Path) -> None:
    """Unpack a tar file into the new folder `target`, which appears only when everything is in it.

    InputError: a damaged archive, one that is too large, or a member that is no plain file or folder below `target`
    (an absolute path, "..", a link, a device).
    """
    room = min(UNPACKED_LIMIT, shutil.disk_usage(target.parent).free)

    def check(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo | None:
        nonlocal room
        room -= member.size
        if room < 0:
            raise InputError(f"{archive}: there is no room for what it unpacks to, at {member.name!r}")
        if not (member.isfile() or member.isdir()) or member.name.startswith(("/", "\\")):
            raise InputError(f"{archive}: refused, {member.name!r} is no plain file inside of the archive")
        return tarfile.data_filter(member, path)

    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(temporary, filter=check)
        temporary.chmod(0o755)  # mkdtemp makes folders that only their owner can read
        os.rename(temporary, target)
    except tarfile.FilterError as error:
        raise InputError(f"{archive}: refused, {error}") from error
    except (tarfile.TarError, EOFError, ValueError, OSError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{archive}: cannot be unpacked ({error})") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
