"""What every stage's command line has in common."""

import argparse
import functools
import sys
from collections.abc import Callable

from acol.errors import InputError
from pipeline.params import Cell, Params, load_params


def main(function: Callable[[], None]) -> Callable[[], None]:
    """Turn a stage's bad input into one clear line a fault on stderr and exit status 2, without a traceback."""

    @functools.wraps(function)
    def wrapped() -> None:
        try:
            function()
        except InputError as error:
            for line in str(error).splitlines():
                print(f"error: {line}", file=sys.stderr)
            sys.exit(2)
        except FloatingPointError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(1)
        except KeyboardInterrupt:
            sys.exit(130)

    return wrapped


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
