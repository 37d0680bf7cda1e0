"""The pipeline: stages and commands around the library `acol`.

The code here runs before any other import of a stage or command.
"""

import os
import signal
import sys
from types import FrameType

# Waiting OpenMP threads sleep instead of spinning: if other programs use the cores too, spinning threads take time from
# working ones. On idle cores this costs nothing measurable, and results stay the same to the bit (docs/training.md).
# OpenMP reads the variable once, when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def end_at_once(number: int, frame: FrameType | None) -> None:
    """Print one line and end the process: the signal handler during the imports.

    They take seconds, and a KeyboardInterrupt during them shows a long traceback or gets lost in a library. Nothing has
    been written yet, so nothing must be removed.
    """
    os.write(2, b"interrupted\n")
    os._exit(128 + number)


# While Python looks for the module of `python -m pipeline.NAME`, sys.argv[0] is "-m". A program that imports the
# pipeline keeps its own handlers, and a SIGINT that was ignored at the start stays ignored.
if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, end_at_once)
