"""The trials of a search: drawn, trained in processes of their own, and kept as a file each.

A trial's file is written when it is drawn, and again with its score. So after a stop at any moment the same command
trains again what was not finished, with the same values and from its saved state, and nothing else.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from acol.errors import InputError
from acol.files import atomic_write
from pipeline.params import Search
from pipeline.results import read_json
from pipeline.search.space import Draw, draw

TRIALS = Path("search/trials")


@dataclass(frozen=True)
class Trial:
    """A drawn trial; `scores` of validation at the epoch that was kept, and `seconds`, are None until it is trained."""

    draw: Draw
    scores: dict[str, float] | None = None
    seconds: float | None = None

    @property
    def file(self) -> Path:
        """Its file."""
        return TRIALS / f"{self.draw.name}.json"

    def write(self) -> None:
        """Write its file, atomically."""
        with atomic_write(self.file) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


def read_trials(search: Search) -> list[Trial]:
    """Return the trials that have been drawn, in the order of recipes and numbers.

    Raises `InputError` for a damaged file, and for one that this search would not have drawn.
    """
    found = []
    for recipe in search.recipes:
        for number in range(search.trials):
            file = TRIALS / f"{recipe}-{number:03d}.json"
            if file.exists():
                content = read_json(file)
                try:
                    trial = Trial(Draw(**content["draw"]), content["scores"], content["seconds"])
                except (KeyError, TypeError):
                    raise InputError(f"{file}: is not a trial; remove it") from None
                if search.sampler == "random" and trial.draw != draw(search, recipe, number, []):
                    raise InputError(f"{file}: was drawn by another section search; remove the folder {TRIALS.parent}")
                found.append(trial)
    return found


def run(search: Search, jobs: int) -> list[Trial]:
    """Draw and train all trials, `jobs` at a time; those that are finished stay. Returns them in order.

    Raises `InputError` that names the trials that failed, after all others are done.
    """
    done = {trial.draw.name: trial for trial in read_trials(search)}
    failed: list[str] = []
    with ThreadPoolExecutor(jobs) as pool:
        running: dict[Future[int], Trial] = {}
        # The recipes take turns, so that a search that was stopped has given each as many trials.
        for number in range(search.trials):
            for recipe in search.recipes:
                trial = done.get(f"{recipe}-{number:03d}") or _drawn(search, recipe, number, [*done.values()])
                done[trial.draw.name] = trial
                if trial.scores is not None:
                    continue
                running[pool.submit(_train, trial)] = trial
                while len(running) >= jobs:
                    failed += _collect(running, done)
        while running:
            failed += _collect(running, done)
    if failed:
        raise InputError(f"search: {', '.join(failed)} failed, as said above; the same command tries again")
    return read_trials(search)


def _drawn(search: Search, recipe: str, number: int, known: Sequence[Trial]) -> Trial:
    told = [
        (trial.draw.values, trial.scores[search.metric])
        for trial in known
        if trial.draw.recipe == recipe and trial.scores is not None
    ]
    trial = Trial(draw(search, recipe, number, told))
    trial.write()
    return trial


def _train(trial: Trial) -> int:
    """Train a trial in a process of its own, which writes its file."""
    return subprocess.run([sys.executable, "-m", "pipeline.search.train", str(trial.file)], check=False).returncode


def _collect(running: dict[Future[int], Trial], done: dict[str, Trial]) -> list[str]:
    """Wait for a trial to end; return the names of those that failed."""
    ended, _ = wait(running, return_when=FIRST_COMPLETED)
    failed = []
    for future in ended:
        trial = running.pop(future)
        if future.result():
            failed.append(trial.draw.name)
        else:
            content: dict[str, Any] = read_json(trial.file)
            done[trial.draw.name] = Trial(trial.draw, content["scores"], content["seconds"])
            print(f"{trial.draw.name}: {trial.draw.head}, {done[trial.draw.name].scores}", flush=True)
    return failed
