"""Time what a grid itself costs: DVC's, the comparison's and MLflow's share, by the number of cells.

    python -m benchmarks.grid [--cells 5 25 100]

Run it in a project that `dvc repro` has finished. For each size, a copy of the project gets a grid of that many cells,
whose files are those of the finished cells over again, under other names; no network runs. Then are timed: `compare`;
`dvc repro`, in which only `compare` and `track` have work; the next one, in which nobody has; `track`'s share of it;
`dvc status`; and what DVC takes to bring dvc.lock (kB) up to date, which it does after every stage that ran.
"""

import argparse
import io
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from acol.errors import InputError
from pipeline import cli
from pipeline.params import Cell, load_params
from pipeline.places import CHECKED


def copied(project: Path, target: Path, cells: int) -> None:
    """Fill `target` with the project and a grid of so many cells, as done as DVC can tell; files are hard links."""
    params = load_params(project / "params.yaml")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=project, capture_output=True, text=True, check=True).stdout
    for name in filter(None, tracked.split("\0")):
        if (project / name).is_file() and not name.startswith(("tests/", "docs/", "results/", "report/")):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(project / name, target / name)
    for folder in ("data/split", "pretrained", ".dvc/cache/files"):
        shutil.copytree(project / folder, target / folder, copy_function=os.link, ignore=_DVCS_OWN, dirs_exist_ok=True)
    stages = YAML(typ="safe").load((project / "dvc.lock").read_text())["stages"]
    shared = ("check", "split", "pretrained")
    done = {name: entry for name, entry in stages.items() if name.partition("@")[0] in shared}
    (target / CHECKED).parent.mkdir(exist_ok=True)
    os.link(project / CHECKED, target / CHECKED)
    backbone, heads = params.grid.backbones[0], []
    own = [cell for cell in params.cells() if cell.backbone == backbone]
    for number, cell in zip(range(cells), itertools.cycle(own), strict=False):
        heads.append(f"{cell.head}-s{1000 + number}")
        name = f"{backbone}-{heads[-1]}"
        for folder in ("models", "results", "cams"):
            shutil.copytree(
                project / folder / cell.name, target / folder / name, copy_function=os.link, ignore=_DVCS_OWN
            )
        (target / "timing").mkdir(exist_ok=True)
        os.link(project / "timing" / f"{cell.name}.csv", target / "timing" / f"{name}.csv")
        for stage in ("train", "evaluate", "cams"):
            done[f"{stage}@{name}"] = renamed(stages[f"{stage}@{cell.name}"], cell, heads[-1])
    (target / "dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": done}))
    yaml = YAML()
    settings = yaml.load((project / "params.yaml").read_text())
    settings["grid"] |= {"backbones": [backbone], "heads": heads}
    yaml.dump(settings, target / "params.yaml")


def renamed(entry: dict[str, Any], cell: Cell, head: str) -> dict[str, Any]:
    """Return a stage's entry in dvc.lock with another cell's name."""
    new = {cell.name: f"{cell.backbone}-{head}", f"{cell.name}.csv": f"{cell.backbone}-{head}.csv"}
    made = {**entry, "cmd": entry["cmd"].removesuffix(cell.head) + head}
    for kind in ("deps", "outs"):
        made[kind] = [
            item | {"path": "/".join(new.get(part, part) for part in item["path"].split("/"))} for item in entry[kind]
        ]
    return made


TRACK = "pipeline/tracking/dvc.yaml:track"
_DVCS_OWN = shutil.ignore_patterns(".gitignore")


def timed(project: Path, *command: str) -> tuple[float, str]:
    """Run a command in the project; return the seconds it took and what it printed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    started = time.perf_counter()
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"{' '.join(command)}: {done.stderr[-2000:]}")
    return time.perf_counter() - started, done.stdout


def measure(project: Path, cells: int) -> list[str]:
    """Return one row of the table."""
    with tempfile.TemporaryDirectory(dir=project.parent) as folder:
        target = Path(folder)
        copied(project, target, cells)
        timed(target, "git", "init", "-q")
        timed(target, "dvc", "config", "--local", "cache.type", "hardlink")
        compare, _ = timed(target, sys.executable, "-m", "pipeline.compare")
        first, said = timed(target, "dvc", "repro")
        assert re.findall("Running stage '(.+)'", said) == ["compare", TRACK, "tracked"], said
        noop, said = timed(target, "dvc", "repro")
        assert re.findall("Running stage '(.+)'", said) == [TRACK], said
        status, _ = timed(target, "dvc", "status")
        track, _ = timed(target, sys.executable, "-m", "pipeline.track")
        lock = rewritten(target / "dvc.lock")
        size = (target / "dvc.lock").stat().st_size / 1e3
    return [str(cells), *(f"{value:.1f}" for value in (compare, first, noop, track, status, lock)), f"{size:.0f}"]


def rewritten(lock: Path) -> float:
    """Return the seconds that reading and writing dvc.lock take, as DVC does after every stage that ran."""
    started = time.perf_counter()
    yaml = YAML()
    yaml.dump(yaml.load(lock.read_text()), io.StringIO())
    return time.perf_counter() - started


@cli.main
def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description="Time what a grid itself costs.")
    parser.add_argument("--cells", type=int, nargs="+", default=[5, 25, 100])
    arguments = parser.parse_args()
    columns = ["Cells", "`compare`", "`dvc repro`: compare, track", "`dvc repro`: nothing", "`track` of that"]
    print(f"| {' | '.join([*columns, '`dvc status`', 'dvc.lock', 'kB'])} |", "| --: " * 8 + "|", sep="\n")
    for cells in arguments.cells:
        print(f"| {' | '.join(measure(Path.cwd(), cells))} |", flush=True)


if __name__ == "__main__":
    main()
