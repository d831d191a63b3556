"""What is said when all ranks of a training have been killed: a process that waits for its parent's end.

It runs as a script, with the standard library alone: there shall be one more small process, not one more codec.
"""

import os
import signal
import sys

ALL_IS_WELL = b"."


def wait(folder: str) -> None:
    """Say how a run goes on, unless the parent says that all is well before it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the training
    if sys.stdin.buffer.read() == ALL_IS_WELL:
        return
    checkpoints = os.path.join(folder, "checkpoints")
    names = os.listdir(checkpoints) if os.path.isdir(checkpoints) else []
    saved = sorted(name for name in names if name.startswith("step-"))
    last = f"the last checkpoint is {os.path.join(checkpoints, saved[-1])}" if saved else "there is no checkpoint yet"
    advice = f"go on with: minicodec train --resume {folder}"
    print(f"minicodec: a rank has died, and the training with it; {last}; {advice}", file=sys.stderr)


if __name__ == "__main__":
    wait(sys.argv[1])
