"""What every stage's command line has in common."""

import argparse
import functools
import gc
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from acol.errors import InputError
from pipeline import end_at_once
from pipeline.params import Cell, Params, load_params
from pipeline.processes import die_with_dvc


def main(function: Callable[[], None]) -> Callable[[], None]:
    """Turn what a stage cannot do into one clear line a fault on stderr, without a traceback.

    Exit status 2 is for bad input, 1 for what the machine refuses and a training that diverged; SIGTERM and SIGINT end
    with 143 and 130, after what was half-written is cleared.
    """

    @functools.wraps(function)
    def wrapped() -> None:
        gc.freeze()  # else every exit spends a second on collecting what the libraries made when they were imported
        signal.signal(signal.SIGTERM, _stop)
        die_with_dvc()
        try:
            with _interruptible():
                function()
        except InputError as error:
            for line in str(error).splitlines():
                print(f"error: {line}", file=sys.stderr)
            sys.exit(2)
        except FloatingPointError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(1)
        except OSError as error:
            if error.filename is None:
                raise
            print(f"error: {error.filename}: {error.strerror}; mend that and repeat the command", file=sys.stderr)
            sys.exit(1)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            sys.exit(130)

    return wrapped


@contextmanager
def _interruptible() -> Iterator[None]:
    """Have SIGINT raise KeyboardInterrupt, which clears what is half-written; before and after, it ends at once."""
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


def program(module: str) -> str:
    """Return how the user called a module's command: `acol NAME` through the console command, else by Python."""
    return sys.argv[0] if sys.argv[0].startswith("acol ") else f"python -m {module}"


def device_name() -> str:
    """Return the name of the device that computes: `train.device` of the params.yaml here, "auto" where none is named.

    All else in params.yaml is left unread: a model is used where it was not trained, too.

    Raises `InputError` for a file that is no YAML.
    """
    try:
        content = YAML(typ="safe").load(Path("params.yaml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return "auto"
    except (ValueError, YAMLError):
        raise InputError("params.yaml: not YAML; correct it, or call this from another folder") from None
    train = content.get("train") if isinstance(content, dict) else None
    return str(train.get("device", "auto")) if isinstance(train, dict) else "auto"


def cell_arguments(description: str | None) -> tuple[Params, Cell]:
    """Read `BACKBONE HEAD`, or `BACKBONE LETTERS DELTA,DELTA...`, from the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("backbone", help="torchvision name, an entry of params.yaml's backbones")
    parser.add_argument("head", help="recipe such as pn-0.9, or its letters with the deltas following")
    parser.add_argument("deltas", nargs="*", help="e.g. 0.9,0.7")
    arguments = parser.parse_args()
    deltas = [delta for text in arguments.deltas for delta in text.split(",") if delta]
    params = load_params()
    return params, params.cell(arguments.backbone, "-".join([arguments.head, *deltas]))
