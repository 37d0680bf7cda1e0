"""Time a first `dvc repro`: wall and CPU time by stage, in a fresh copy of a project.

    python -m benchmarks.first_run [PROJECT]

What git tracks of the project (default: the current folder) is copied to a folder of its own, without cache, results or
MLflow store, and `dvc repro` runs there as it does for a newcomer. CPU time is user + system, of all processes that a
stage starts. A stage's times go from DVC's line "Running stage" to the next one, so they include what DVC itself does
for it: hashing, caching, dvc.lock. Where other programs are at work, compare CPU time; wall time wanders.

Given another checkout, its code runs with this environment's libraries: so a change is measured before and after.
"""

import argparse
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from acol.errors import InputError
from pipeline import cli

STARTED = re.compile(r"Running stage '([^'@]+)(?:@[^']+)?'")
START, END = "DVC's start", "DVC's end"


def copied(project: Path, target: Path) -> None:
    """Fill `target` with what git tracks of the project, as a repository of its own; `track` asks for a commit."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=project, capture_output=True, text=True, check=True).stdout
    for name in filter(None, tracked.split("\0")):
        if (project / name).exists() and not name.startswith(("results/", "report/")):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(project / name, target / name, follow_symlinks=False)
    (target / "dvc.lock").unlink(missing_ok=True)
    identity = ["-c", "user.name=first run", "-c", "user.email=first@run"]
    for command in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "A fresh copy"]):
        subprocess.run(["git", *command], cwd=target, check=True)


def moments(project: Path) -> Iterator[tuple[str, float, float]]:
    """Run `dvc repro`; yield each stage as it starts, with the seconds of wall and of CPU time spent before it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "DVC_"))}
    environment |= {"PYTHONUNBUFFERED": "1", "DVC_NO_ANALYTICS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
    said: list[str] = []
    began, children = time.perf_counter(), os.times()
    with psutil.Popen(
        ["dvc", "repro"],
        cwd=project,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as dvc:
        yield START, 0.0, 0.0
        for line in dvc.stdout:
            said.append(line)
            if started := STARTED.match(line):
                used = dvc.cpu_times()
                yield started[1], time.perf_counter() - began, sum(used[:4])  # its own, and its children's
        if dvc.wait():
            raise InputError(f"dvc repro: {''.join(said)[-3000:]}")
    after = os.times()
    used_in_all = after.children_user - children.children_user + after.children_system - children.children_system
    yield END, time.perf_counter() - began, used_in_all


def by_stage(project: Path) -> dict[str, list[float]]:
    """Return each stage's runs, and its seconds of wall and CPU time."""
    times: dict[str, list[float]] = {}
    last, last_wall, last_used = "", 0.0, 0.0
    for stage, wall, used in moments(project):
        if last:
            row = times.setdefault(last, [0, 0.0, 0.0])
            times[last] = [row[0] + 1, row[1] + wall - last_wall, row[2] + used - last_used]
        last, last_wall, last_used = stage, wall, used
    return times


@cli.main
def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description="Time a first dvc repro by stage.")
    parser.add_argument("project", type=Path, nargs="?", default=Path(), help="a checkout (default: this folder)")
    project = parser.parse_args().project.resolve()
    with tempfile.TemporaryDirectory(prefix="acol-first-run-") as folder:
        copied(project, Path(folder))
        times = by_stage(Path(folder))
    print("| Stage | Runs | Wall (s) | CPU (s) |\n| :-- | --: | --: | --: |")
    for stage, (runs, wall, used) in times.items():
        print(f"| {stage} | {runs:.0f} | {wall:.0f} | {used:.0f} |")
    _, wall, used = map(sum, zip(*times.values(), strict=True))
    print(f"| **in all** | | **{wall:.0f}** | **{used:.0f}** |")


if __name__ == "__main__":
    main()
