"""The pipeline: stages and commands around the library `acol`.

The code here runs before any other import of a stage or command.
"""

import os
import signal
import sys
from types import FrameType

# Let a waiting OpenMP thread spin for about 20 µs before it sleeps; by default it spins for 3 ms. Where other programs
# use the cores too, spinning takes time from the threads that work. On idle cores, sleeping at once would make small
# networks slower (docs/training.md). The results are the same bits. OpenMP reads the variable when torch is loaded.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")


def end_at_once(number: int, frame: FrameType | None) -> None:
    """Print one line and end the process. This is the signal handler during the imports.

    The imports take seconds. A KeyboardInterrupt during them shows a long traceback or gets lost in a library. Nothing
    has been written yet, so nothing must be removed.
    """
    os.write(2, b"interrupted\n")
    os._exit(128 + number)


# While Python looks for the module of `python -m pipeline.NAME`, sys.argv[0] is "-m". A program that imports the
# pipeline keeps its own handlers, and a SIGINT that was ignored at the start stays ignored.
if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, end_at_once)
