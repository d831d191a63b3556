"""The command line. Each command is a module of this folder, named in the table below.

Such a module has `configure(parser)`, which adds its arguments, and `run(args)`, which does the work and returns the
exit status. Only the module of the command that was asked for is imported, so `minicodec --help` answers at once.

Exit status: 0 done; 1 some files of a folder failed; 2 bad input, after one line on stderr; 130 interrupted by Ctrl-C;
141 nobody reads the output.
"""

import argparse
import difflib
import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from importlib import import_module
from typing import NoReturn

from minicodec import __version__
from minicodec.console import one_line
from minicodec.errors import InputError

COMMANDS = {
    "demo": "compress clips that come with it; or train a tiny codec first",
    "encode": "compress an audio file to .ecdc",
    "decode": "turn an .ecdc file back into audio",
    "codes": "turn a folder of audio into tokens for other models",
    "play": "play audio files or .ecdc files",
    "stream": "encode or decode live audio, from stdin to stdout",
    "train": "train a codec on a folder of audio files",
    "train-lm": "train a language model of codes: it makes files smaller",
    "convert": "turn any model, such as EnCodec, into a .safetensors file",
    "models": "list the models there are: bundled, in the cache, to fetch",
    "fetch": "download a published model, such as encodec_24khz",
    "info": "describe an .ecdc file, an audio file or a model",
    "listen": "a blind listening test in the browser",
    "evaluate": "compare models with Opus and MP3 at equal bytes, and listen",
    "warmup": "compile everything now, so that nobody waits for it later",
    "bench": "measure speed on this machine, alone or beside PyTorch",
    "data": "list and download public datasets",
    "chapters": "open the chapters in JupyterLab, in a folder of your own",
    "grade": "points for the exercises in students' notebooks",
    "completion": "a script for the shell: the Tab key completes commands",
}

EXAMPLE = """\
examples:
  minicodec encode speech.wav speech.ecdc -b 6
  minicodec info speech.ecdc
  minicodec decode speech.ecdc again.wav

  minicodec data libritts-dev-clean --out corpora
  minicodec train mini_24khz --data corpora/libritts-dev-clean --out runs/speech
  minicodec encode speech.wav speech.ecdc -b 6 -m runs/speech
"""


class Parser(argparse.ArgumentParser):
    """argparse, but a wrong command line is bad input like any other: one line, exit status 2."""

    prepare: Callable[[Sequence[str]], Sequence[str]]  # what a command changes of its arguments

    def error(self, message: str) -> NoReturn:
        """Raise InputError instead of printing the usage and leaving."""
        raise InputError(f"{message}; {self.prog} --help says more")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command (by default what the process was called with) and return the exit status."""
    # BLAS under NumPy has threads that go on spinning for 30 ms after each product, on cores that others need. With
    # 2²⁰ cycles it is 0.3 ms; it reads this when NumPy is imported.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "20")
    argv = sys.argv[1:] if argv is None else list(argv)
    with usable_streams():
        return run(argv)


def run(argv: Sequence[str]) -> int:
    """Run one command: the exit status."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files can be what no encoding has
    try:
        args = parse(argv)
        status: int = args.run(args)
        sys.stdout.flush()  # here, where a reader who has gone can still be dealt with
        return status
    except InputError as error:
        print(f"minicodec: {one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("minicodec: interrupted", file=sys.stderr)
        return 130
    except OSError as error:  # on files they are InputErrors by now: this is stdout, gone (as by `| head`) or full
        if isinstance(error, BrokenPipeError):
            return 141
        print(f"minicodec: {one_line(error)}", file=sys.stderr)
        return 2


@contextmanager
def usable_streams() -> Iterator[None]:
    """In this block there are a stdout and a stderr: those that are None (pythonw) or closed lead nowhere."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere, ExitStack() as stack:
        for stream, redirect in ((sys.stdout, redirect_stdout), (sys.stderr, redirect_stderr)):
            if stream is None or getattr(stream, "closed", False):  # what an application puts there may lack it
                stack.enter_context(redirect(nowhere))
        yield


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments of the command that argv begins with; `run` among them is what to do with them."""
    if argv and argv[0] == "help":
        argv = [*argv[1:2], "--help"]
    if argv and not argv[0].startswith("-") and argv[0] not in COMMANDS:
        raise InputError(f"{argv[0]}: no such command{meant(argv[0], COMMANDS)}; minicodec --help lists them")
    parser, command = build(argv[0] if argv else "")
    if hasattr(command, "prepare"):
        argv = [*argv[:1], *command.prepare(argv[1:])]
    args, rest = parser.parse_known_args(argv)
    if hasattr(args, "paths"):  # argparse does not expect more of them behind an option
        args.paths += [word for word in rest if word == "-" or not word.startswith("-")]
        rest = [word for word in rest if word not in args.paths]
    if rest:
        options = [option for action in command._actions for option in action.option_strings]
        command.error(f"unrecognized arguments: {' '.join(rest)}{meant(rest[0].split('=')[0], options)}")
    return args


def build(name: str) -> tuple[Parser, Parser]:
    """The parser of the whole command line, with the arguments of one command; and that command's own."""
    parser = Parser(
        prog="minicodec",
        description="A neural audio codec: train it, compress audio to a few kbit/s, and hear what is left.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-V", "--version", action="version", version=f"minicodec {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    chosen = parser
    for one, summary in COMMANDS.items():
        command = commands.add_parser(one, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if one == name:
            module, chosen = import_module(f"minicodec.cli.{name.replace('-', '_')}"), command
            module.configure(command)
            if hasattr(module, "prepare"):
                command.prepare = module.prepare
            command.set_defaults(run=module.run)
    return parser, chosen


def meant(word: str, known: Iterable[str]) -> str:
    """A question to append to a message about an unknown word: what is spelled alike."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.7)
    return f"; did you mean {near[0]}?" if near else ""
