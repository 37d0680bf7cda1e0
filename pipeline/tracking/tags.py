"""The tags that we set on runs and experiments."""

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

# On each run of a cell:
CELL_TAG = "cell"  # its name
REPRO_TAG = "repro"  # when `track` logged it: the runs of one `dvc repro` have the same
KEY_TAG = "acol.key"  # names the training; its live run has it from the start
OUTPUT_TAG = "acol.output"  # on a run of `acol train`: the folder of its files
PROCESS_TAG = "acol.process"  # on a live run: "host:pid" of the process that logs it
FINGERPRINT_TAG = "acol.fingerprint"  # of the files that `track` logs into this run; set before the first of them
COMPLETE_TAG = "acol.complete"  # set last, after all that `track` logs into a run
MODEL_TAG = "acol.model"  # digest of the packaged model

COMPARISON_TAG = "acol.comparison"  # on the one run `comparison`: fingerprint of the report in it, set last
PARENT_TAG = "mlflow.parentRunId"
NOTE_TAG = "mlflow.note.content"  # the UI shows it as Markdown, above everything else of a run
ROOT_TAG = "acol.root"  # on each experiment: the folder that its stored artifact locations point into


def surroundings(root: Path, source: str) -> dict[str, str]:
    """Return the tags that say which code logs a run, and on which platform."""
    tags = {
        "mlflow.source.name": source,
        "mlflow.source.type": "LOCAL",
        "python": platform.python_version(),
        "torch": version("torch"),
        "platform": platform.platform(),
    }
    git = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=False)
    return tags | ({"mlflow.source.git.commit": git.stdout.strip()} if git.returncode == 0 else {})
