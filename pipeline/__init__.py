"""The pipeline: stages and commands around the library `acol`.

What stands here takes effect before any other import of a stage or command.
"""

import os
import signal
import sys
from types import FrameType

# An OpenMP thread that waits sleeps instead of spinning: where other programs use the cores too, spinning threads take
# the time that the working ones need. On idle cores it costs nothing that can be measured, and results keep their bits
# (docs/training.md). OpenMP reads it once, when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def end_at_once(number: int, frame: FrameType | None) -> None:
    """End the process in one line, as a signal handler for the time of the imports.

    They take seconds, and a KeyboardInterrupt in the middle of them shows a long traceback, or is lost in a library.
    Nothing has been written yet that would have to be cleared.
    """
    os.write(2, b"interrupted\n")
    os._exit(128 + number)


# While Python looks for the module of `python -m pipeline.NAME`, "-m" stands in the place of its path. Who imports the
# pipeline as a library keeps its own handlers, and who started us with SIGINT ignored wants that.
if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, end_at_once)
