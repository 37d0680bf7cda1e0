"""Where each stage reads and writes its files, relative to the project's folder."""

from pathlib import Path

SPLIT = Path("data/split")
MANIFEST = SPLIT / "manifest.json"
LABELS = SPLIT / "labels.json"
VIEW = "view-"  # begins the name of a sample image's picture in a cell's folder of pictures
CHOICE = SPLIT / "choice"  # what beside the labels chooses a training's epoch, a file for each train.best_by
CACHE = Path(".acol/decoded")  # arrays of decoded images: disposable, shared by all cells
CHECKED = Path(".acol/checked")  # says that params.yaml is valid; never changes
RUNS = Path(".acol/runs")  # states of unfinished trainings, each removed when its run is complete


def pretrained(backbone: str) -> Path:
    """The folder of a backbone's verified weights."""
    return Path("pretrained", backbone)


def untrained(backbone: str) -> Path:
    """The folder of the scores of a backbone's own ImageNet classifier."""
    return Path("untrained", backbone)


def model(cell: str) -> Path:
    """The folder of a cell's checkpoints and history."""
    return Path("models", cell)


def timing(cell: str) -> Path:
    """The file of a cell's training speed, which differs from run to run."""
    return Path("timing", f"{cell}.csv")


def results(cell: str) -> Path:
    """The folder of a cell's scores."""
    return Path("results", cell)
