"""The same test for webMUSHRA, a server of listening tests by the AudioLabs Erlangen (github.com/audiolabs/webMUSHRA).

Its configuration is a YAML file below `configs/`, whose paths begin at webMUSHRA's root. It adds the hidden reference
by itself. A clip is a page, in random order; results carry the names of clips and conditions.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from minicodec.errors import InputError
from minicodec.evaluation.listening.stimuli import REFERENCE, Clip

WELCOME = (
    "You will hear short recordings, each in several versions. Rate the quality of every version compared with the "
    "reference. One of them is the reference itself: find it and rate it 100."
)
QUESTION = "How good is each version, compared with the reference?"


def export(clips: Sequence[Clip], folder: Path) -> Path:
    """Write the stimuli and the YAML file into a new folder, whose name webMUSHRA will know it by -> the YAML file.

    InputError: the folder exists already, or cannot be written; then nothing of it is left.
    """
    if folder.exists():
        raise InputError(f"{folder}: exists already; the export makes a new folder")
    if not folder.parent.is_dir():
        raise InputError(f"{folder}: there is no folder {folder.parent}")
    try:
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".webmushra.") as temporary:
            new = Path(temporary) / "new"
            for clip in clips:
                (new / clip.name).mkdir(parents=True)
                for condition, path in clip.conditions.items():
                    shutil.copyfile(path, new / clip.name / f"{condition}.wav")
            (new / "test.yaml").write_text("\n".join(_yaml(clips, folder.name)) + "\n", encoding="utf-8")
            os.rename(new, folder)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror or error})") from error
    return folder / "test.yaml"


def _yaml(clips: Sequence[Clip], name: str) -> Iterator[str]:
    yield f"testname: {_text(f'Listening test {name}')}"
    yield f"testId: {_text(name)}"
    yield "bufferSize: 2048"
    yield "stopOnErrors: true"
    yield "showButtonPreviousPage: true"
    yield "remoteService: service/write.php"
    yield "pages:"
    yield from _page("generic", id="welcome", name="Listening test", content=WELCOME)
    yield "  -"
    yield '    - "random"'
    for clip in clips:
        paths = {condition: f"configs/{name}/{clip.name}/{condition}.wav" for condition in clip.conditions}
        page = list(
            _page(
                "mushra",
                id=clip.name,
                name="Listening test",
                content=QUESTION,
                showWaveform=False,
                enableLooping=True,
                randomize=True,
                showConditionNames=False,
                strict=False,  # it would refuse clips of more than 12 s
                reference=paths.pop(REFERENCE),
                createAnchor35=False,  # ours are among the stimuli
                createAnchor70=False,
            )
        )
        stimuli = [f"      {_text(condition)}: {_text(path)}" for condition, path in paths.items()]
        yield from (f"  {line}" for line in [*page, "    stimuli:", *stimuli])
    yield from _page("finish", name="Thank you", content="Thank you.", showResults=False, writeResults=True)


def _page(kind: str, **fields: str | bool) -> Iterator[str]:
    yield f"  - type: {kind}"
    yield from (f"    {key}: {_text(value)}" for key, value in fields.items())


def _text(value: str | bool) -> str:
    """What JSON quotes, YAML reads."""
    return json.dumps(value, ensure_ascii=False)
