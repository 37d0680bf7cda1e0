"""Time what a grid itself costs: DVC's, the comparison's and MLflow's share, by the number of cells.

    python -m benchmarks.grid [--cells 5 25 100]

Run it in a project that `dvc repro` has finished. For each size, a copy of the project gets a grid of that many cells,
whose files are those of the finished cells over again, under other names; no network runs. Then are timed: `dvc repro`,
in which only `compare` and `track` have work (each alone, too), and the next one, in which nobody has.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ruamel.yaml import YAML

from acol.errors import InputError
from pipeline import cli
from pipeline.params import load_params


def copied(project: Path, target: Path, cells: int) -> None:
    """Fill `target` with the project and a grid of so many cells; files of cells are hard links."""
    params = load_params(project / "params.yaml")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=project, capture_output=True, text=True, check=True).stdout
    for name in filter(None, tracked.split("\0")):
        if (project / name).is_file() and not name.startswith(("tests/", "docs/", "results/", "report/", "dvc.lock")):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(project / name, target / name)
    for folder in ("data/split", "pretrained"):
        shutil.copytree(project / folder, target / folder, dirs_exist_ok=True)
    own = params.cells()
    heads = [f"{own[n % len(own)].head}-s{1000 + n}" for n in range(cells)]
    for head, source in zip(heads, [own[n % len(own)].name for n in range(cells)], strict=True):
        name = f"{params.grid.backbones[0]}-{head}"
        for folder in ("models", "results", "cams"):
            shutil.copytree(project / folder / source, target / folder / name, copy_function=os.link, ignore=_DVCS_OWN)
        (target / "timing").mkdir(exist_ok=True)
        os.link(project / "timing" / f"{source}.csv", target / "timing" / f"{name}.csv")
        summary = target / "models" / name / "summary.json"
        content = json.loads(summary.read_text()) | {"cell": name, "key": name}
        summary.unlink()
        summary.write_text(json.dumps(content))
    yaml = YAML()
    settings = yaml.load((project / "params.yaml").read_text())
    settings["grid"]["heads"] = heads
    settings["grid"]["backbones"] = [params.grid.backbones[0]]
    yaml.dump(settings, target / "params.yaml")


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
        stages = timed(target, "dvc", "stage", "list", "--name-only")[1].split()
        done = [stage for stage in stages if stage not in ("compare", "track")]
        timed(target, "dvc", "commit", "--force", "--quiet", *done)
        compare, _ = timed(target, sys.executable, "-m", "pipeline.compare")
        first, said = timed(target, "dvc", "repro")
        assert re.findall("Running stage '(.+)'", said) == ["compare", "track"], said
        noop, said = timed(target, "dvc", "repro")
        assert re.findall("Running stage '(.+)'", said) == ["track"], said
        status, _ = timed(target, "dvc", "status")
        track, _ = timed(target, sys.executable, "-m", "pipeline.track")
    return [str(cells), *(f"{seconds:.1f}" for seconds in (compare, first, noop, track, status))]


@cli.main
def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description="Time what a grid itself costs.")
    parser.add_argument("--cells", type=int, nargs="+", default=[5, 25, 100])
    arguments = parser.parse_args()
    print("| Cells | `compare` | `dvc repro`: compare, track | `dvc repro`: nothing | `track` of that | `dvc status` |")
    print("| --: | --: | --: | --: | --: | --: |")
    for cells in arguments.cells:
        print(f"| {' | '.join(measure(Path.cwd(), cells))} |", flush=True)


if __name__ == "__main__":
    main()
