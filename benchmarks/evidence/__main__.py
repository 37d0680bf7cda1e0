"""Run the experiments of docs/evidence.md, and write the page from their results.

    python -m benchmarks.evidence [NAME...] [--page]

runs experiments/evidence/NAME.yaml (without names: all), each in a clone of this project under .acol/evidence/NAME with
`dvc repro`, and writes experiments/evidence/NAME.json and the pictures of the page. Then it writes docs/evidence.md
from all the JSON files that there are; --page does only this. The code must be committed, since a clone holds only
what is. An experiment that was stopped goes on with the same command. The runs stand in this project's MLflow store.
"""

import argparse
from operator import attrgetter
from pathlib import Path

from acol.errors import InputError, did_you_mean
from acol.files import atomic_write
from benchmarks.evidence.experiment import EXPERIMENTS, PICTURES, collect, run
from benchmarks.evidence.page import PAGE, page
from benchmarks.evidence.pictures import draw_scores
from pipeline import cli
from pipeline.places import read_json


@cli.main
def main() -> None:
    """Run the experiments that the command line names, then write the page."""
    known = sorted(path.stem for path in EXPERIMENTS.glob("*.yaml"))
    parser = argparse.ArgumentParser("python -m benchmarks.evidence", description="Run experiments; write the page.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"an experiment: {', '.join(known)} (default: all)")
    parser.add_argument("--page", action="store_true", help="only write the page, from the results that there are")
    options = parser.parse_args()
    for name in options.names:
        if name not in known:
            raise InputError(f"{EXPERIMENTS}: has no experiment {name}; {did_you_mean(name, known)}")
    for name in [] if options.page else options.names or known:
        run(name)
        collect(name)
    write_page(Path())


def write_page(root: Path) -> None:
    """Write the page from the results in `root`."""
    stem = attrgetter("stem")  # so that footballers comes before footballers-conv3
    found = {path.stem: read_json(path) for path in sorted((root / EXPERIMENTS).glob("*.json"), key=stem)}
    if found:
        draw_scores(root / PICTURES / "evidence-scores.png", found)
    with atomic_write(root / PAGE) as temporary:
        temporary.write_text(page((root / PAGE).read_text(encoding="utf-8"), found), encoding="utf-8")


if __name__ == "__main__":
    main()
