"""What the processes of test_corpus.py do with a file: what `minicodec encode` does, or die."""

import os
import signal
from pathlib import Path

from minicodec.cli import parse
from minicodec.cli.encode import encoder


def encode_arguments(model):
    """As `minicodec encode -b 3` gives them to its processes."""
    args = parse(["encode", "in", "out", "-m", str(model), "-b", "3", "-q", "-f"])
    del args.run
    return args


def mortal(args, digest, marks, deadly):
    """The encoder, which is killed at the files of `deadly`: name -> how many times."""
    encode = encoder(args, digest)

    def act(source, target):
        number = len(list(Path(marks).glob(f"{source.name}-*")))
        Path(marks, f"{source.name}-{number}").touch()
        if number < deadly.get(source.name, 0):
            target.with_suffix(".half").write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
        return encode(source, target)

    return act
