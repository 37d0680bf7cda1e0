"""repro: checks params.yaml, rebuilds what changed as `dvc repro` does, and prints the result in a few lines.

    python -m pipeline.repro [STAGE ...] [--pull] [--alone]

The outcome is that of report/best.json and report/table.json, which `compare` wrote: the best cell, the report, and
what to do next. With stages named, only these are rebuilt, with those on which they depend, and no outcome is told.
"""

import argparse
import logging
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline import cli
from pipeline.params import load_params
from pipeline.places import read_json
from pipeline.report.metrics import about

REPORT = Path("report")
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
        logging.getLogger("dvc").exception("")  # as DVC's own command prints it
        sys.exit(255)


def changed() -> list[str]:
    """Return the files for git that the project's last commit has not, or has otherwise."""
    command = ["git", "status", "--porcelain", "-z", "--", *IN_GIT]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return [entry[3:] for entry in listed.split("\0") if entry]


def describe(best: dict[str, Any], table: dict[str, Any]) -> list[str]:
    """Return the lines of a comparison: `best` and `table` are the contents of best.json and table.json."""
    lines = [_leader(best, table), *(f"Note:      {note}" for note in best.get("notes", ()))]
    if missing := table.get("missing"):
        lines.append(f"Left out:  {', '.join(missing)}; report/table.md says why")
    lines.append("Report:    report/index.html (open it in a browser), report/table.md")
    lines.append("Next:      make ui (the runs in MLflow), make gate (register the best model)")
    return lines


def _leader(best: dict[str, Any], table: dict[str, Any]) -> str:
    cell = best["cell"]
    if cell is None:
        return f"Best cell: none, since {best['rule']}"
    key = next(iter(best["values"]))  # the first metric of compare.best_by that the cells have
    metric = about(key)
    row = next(row for row in table["cells"] if row["cell"] == cell)
    score = f"{metric.title} {metric.with_unit(best['values'][key])}"
    if bounds := row["intervals"].get(key):
        score += " [{}, {}]".format(*map(metric.text, bounds))
    baselines = [f"{name} {metric.with_unit(row[key])}" for name, row in table["baseline"].items() if key in row]
    return f"Best cell: {cell}, {'; '.join([score, *baselines])}"


@cli.main
def main() -> None:
    """Check, rebuild, and print the outcome."""
    parser = argparse.ArgumentParser(description="Check params.yaml, rebuild what changed, and print the result.")
    parser.add_argument("stages", nargs="*", help="stages of dvc.yaml to rebuild (default: all)")
    parser.add_argument("--pull", action="store_true", help="take what the DVC remote has, instead of computing it")
    parser.add_argument("--alone", action="store_true", help="only the named stages; others may run at the same time")
    arguments = parser.parse_args()
    if arguments.alone and not arguments.stages:
        parser.error("--alone needs the names of stages")
    load_params()
    rebuild(arguments.stages, arguments.pull, arguments.alone)
    if not arguments.stages:
        print(*describe(read_json(REPORT / "best.json"), read_json(REPORT / "table.json")), sep="\n")
        if files := changed():
            print(f"To keep:   git add {' '.join(files)}, and commit; git ignores all else, which DVC's cache holds")


if __name__ == "__main__":
    main()
