"""Where the stages read and write their files, relative to the project's folder, and how they read JSON."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from acol.errors import InputError

SPLIT = Path("data/split")
MANIFEST = SPLIT / "manifest.json"
LABELS = SPLIT / "labels.json"
VIEW = "view-"  # begins the names of a cell's pictures that show one sample image each
CHOICE = SPLIT / "choice"  # for each train.best_by a file with the images whose boxes choose a training's epoch
CACHE = Path(".acol/decoded")  # arrays of decoded images, shared by all cells; can be deleted
CHECKED = Path(".acol/checked")  # says that params.yaml is valid; never changes
RUNS = Path(".acol/runs")  # states of unfinished trainings; each is removed when its training is complete


def pretrained(backbone: str) -> Path:
    """Return the folder of a backbone's verified weights."""
    return Path("pretrained", backbone)


def untrained(backbone: str) -> Path:
    """Return the folder of the scores of a backbone's own ImageNet classifier."""
    return Path("untrained", backbone)


def model(cell: str) -> Path:
    """Return the folder of a cell's checkpoints and history."""
    return Path("models", cell)


def timing(cell: str) -> Path:
    """Return the file of a cell's training times, which differ from run to run."""
    return Path("timing", f"{cell}.csv")


def speed(cell: str) -> Path:
    """Return the file that says how fast a cell was evaluated."""
    return Path("timing", f"{cell}.json")


def results(cell: str) -> Path:
    """Return the folder of a cell's scores."""
    return Path("results", cell)


@contextmanager
def reading(file: Path) -> Iterator[None]:
    """Turn an error while a stage's file is read into an `InputError` that names the file."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{file}: missing; run the stage that writes it (dvc repro)") from None
    except InputError:
        raise
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        problem = " ".join(str(error).split())[:200]
        raise InputError(f"{file}: cannot be read ({problem}); run the stage that writes it again") from None


def read_json(file: Path) -> dict[str, Any]:
    """Read the JSON object in a stage's file. Raises `InputError` that names the file if it is missing or has none."""
    with reading(file):
        content = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise InputError(f"{file}: not a JSON object; run the stage that writes it again")
    return content
