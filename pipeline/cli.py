"""What the command lines of all stages have in common."""

import argparse
import errno
import functools
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from types import FrameType

from acol.errors import InputError, MachineError, memory_exhausted
from pipeline import end_at_once
from pipeline.params import Cell, Params, load_params
from pipeline.processes import die_with_dvc, keep_dvcs_cache_private
from pipeline.strict_yaml import read_yaml

LOWER = (
    "lower train.batch_size, evaluate.batch_size or image.size (acol train: --batch-size, --image-size), "
    "set train.device to cpu, or end other programs that use the memory"
)


def main(function: Callable[[], None]) -> Callable[[], None]:
    """Make a function the main program of a stage or command: each fault is one line on stderr, without a traceback.

    The exit status is 2 for bad input. It is 1 for an error of the machine, such as too little memory, and for a
    training that diverged. SIGTERM and SIGINT end with 143 and 130, after half-written files are removed.
    """

    @functools.wraps(function)
    def wrapped() -> None:
        gc.freeze()  # otherwise each process spends a second at its end on collecting objects of imported libraries
        signal.signal(signal.SIGTERM, _stop)
        die_with_dvc()
        keep_dvcs_cache_private()
        try:
            with _interruptible():
                function()
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            sys.exit(130)
        except BrokenPipeError:  # who reads the output has enough, as in `... | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python's last flush fails too
            sys.exit(128 + signal.SIGPIPE)
        except Exception as error:
            message = _message(error)
            if message is None:
                raise
            for line in message.splitlines():
                print(f"error: {line}", file=sys.stderr)
            sys.exit(2 if isinstance(error, InputError) else 1)

    return wrapped


def _message(error: Exception) -> str | None:
    """Return the message of an error that needs no traceback; None for a fault of this program."""
    if isinstance(error, InputError | MachineError | FloatingPointError):
        return str(error)
    if reason := memory_exhausted(error):
        cell = takewhile(lambda word: not word.startswith("-"), sys.argv[1:3])
        stage = Path(sys.argv[0].removesuffix("/__main__.py")).stem
        return f"{' '.join([stage, *cell])}: {reason}; {LOWER}"
    if isinstance(error, OSError) and (error.filename is not None or error.errno in (errno.ENOSPC, errno.EDQUOT)):
        return f"{error.filename or Path.cwd()}: {error.strerror}; fix this and repeat the command"
    return None


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGINT raise KeyboardInterrupt meanwhile, so that half-written files are removed.

    Before and afterwards SIGINT ends the process at once.
    """
    at_once = signal.getsignal(signal.SIGINT) is end_at_once
    if at_once:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        if at_once:
            signal.signal(signal.SIGINT, end_at_once)


def _stop(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def no_arguments(description: str) -> None:
    """Refuse every argument except --help. A command without arguments must not start by a misspelt option."""
    argparse.ArgumentParser(description=description).parse_args()


def check_address(host: str, port: int) -> None:
    """Raise `InputError` if a server cannot listen there."""
    if not 0 < port < 2**16:
        raise InputError(f"--port {port}: not a port; choose one from 1 to 65535")
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: ended connections do not count
            trial.bind(address)
    except OSError as error:
        raise InputError(f"{host}, port {port}: {error.strerror}; choose another --port, or free it") from None


def parser(module: str, description: str, examples: str = "") -> argparse.ArgumentParser:
    """Return the parser of a command. Its name is what the user called: `acol NAME`, or `python -m MODULE`."""
    program = sys.argv[0] if sys.argv[0].startswith("acol ") else f"python -m {module}"
    form = argparse.RawDescriptionHelpFormatter
    if "" in sys.argv[1:]:  # as a path it would be this folder
        raise InputError("an empty argument; the shell may have replaced a variable that is not set by nothing")
    return argparse.ArgumentParser(program, description=description, epilog=examples, formatter_class=form)


def check_outside(option: str, made: Path, folders: Iterable[Path]) -> None:
    """Raise `InputError` if the folder `made` would lie in one of the `folders` whose images are read."""
    for folder in folders:
        if made.resolve().is_relative_to(folder.resolve()):
            raise InputError(
                f"{option} {made}: lies in {folder}, where its pictures would be read as images the next time; name a "
                "folder outside of it"
            )


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table for a terminal, with its columns aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def device_name() -> str:
    """Return `train.device` of the params.yaml in this folder, or "auto" if it is not set.

    The rest of params.yaml is not checked, since models may be used in any folder. Raises `InputError` if the file is
    not YAML.
    """
    content = read_yaml() if Path("params.yaml").exists() else None
    train = content.get("train") if isinstance(content, dict) else None
    return str(train.get("device", "auto")) if isinstance(train, dict) else "auto"


def backbone_argument(description: str) -> tuple[Params, str]:
    """Read `BACKBONE` from the command line; return it with the settings."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("backbone", help="name of an entry under backbones in params.yaml")
    name, params = parser.parse_args().backbone, load_params()
    params.source_of(name)
    return params, name


def cell_arguments(description: str) -> tuple[Params, Cell]:
    """Read `BACKBONE HEAD`, or `BACKBONE LETTERS DELTA,DELTA...`; return the settings and the cell."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("backbone", help="name of an entry under backbones in params.yaml")
    parser.add_argument("head", help="recipe such as pn-0.9, or only its letters")
    parser.add_argument("deltas", nargs="*", help="deltas such as 0.9,0.7, if head is only letters")
    arguments = parser.parse_args()
    deltas = [delta for text in arguments.deltas for delta in text.split(",") if delta]
    params = load_params()
    return params, params.cell(arguments.backbone, "-".join([arguments.head, *deltas]))
