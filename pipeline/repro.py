"""repro: checks params.yaml, rebuilds what changed as `dvc repro` does, and prints the result in a few lines.

    python -m pipeline.repro [STAGE ...] [--pull] [--alone]

The result is what `acol report` prints. If stages are named, only these and the stages on which they depend are
rebuilt, and no result is printed.
"""

import logging
import subprocess
import sys
from collections.abc import Sequence

from pipeline import cli
from pipeline.outcome import print_outcome
from pipeline.params import load_params

IN_GIT = ("params.yaml", ":(glob)**/dvc.lock", "report/summary.json")


def rebuild(stages: Sequence[str], pull: bool, alone: bool = False) -> None:
    """Run `dvc repro` without its hints about git and `dvc push`; exit with its status if it fails."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.ui import ui

    ui.enable()
    logging.getLogger("dvc.repo.scm_context").setLevel(logging.WARNING)
    try:
        with Repo(_wait_for_lock=alone) as repo:
            repo.reproduce(list(stages) or None, pull=pull, single_item=alone)
    except DvcException:
        logging.getLogger("dvc").exception("")  # prints the error as DVC's own command does
        sys.exit(255)


def changed_files() -> list[str]:
    """Return the files for git that are new or changed since the project's last commit."""
    command = ["git", "status", "--porcelain", "-z", "--", *IN_GIT]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return [entry[3:] for entry in listed.split("\0") if entry]


@cli.main
def main() -> None:
    """Check, rebuild, and print the result."""
    parser = cli.parser("pipeline.repro", "Check params.yaml, rebuild what changed, and print the result.")
    parser.add_argument("stages", nargs="*", help="stages of dvc.yaml to rebuild (default: all)")
    parser.add_argument("--pull", action="store_true", help="take what the DVC remote has, instead of computing it")
    parser.add_argument("--alone", action="store_true", help="only the named stages; others may run at the same time")
    arguments = parser.parse_args()
    if arguments.alone and not arguments.stages:
        parser.error("--alone needs the names of stages")
    load_params()
    rebuild(arguments.stages, arguments.pull, arguments.alone)
    if not arguments.stages:
        print_outcome()
        if files := changed_files():
            print(f"To keep:   git add {' '.join(files)}, and commit; git ignores all else, which DVC's cache holds")


if __name__ == "__main__":
    main()
