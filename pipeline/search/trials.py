"""The trials of a search: drawn, trained in processes of their own, and kept as a file each.

A trial's file is written when it is drawn, and again with its score. So after a stop at any moment the same command
trains again what was not finished, with the same values and from its saved state, and nothing else. The file holds the
key of all that determines the trial: one of other settings, images, weights or ranges is drawn and trained anew.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path

from acol.errors import InputError
from acol.files import atomic_write
from pipeline.params import Params, Search
from pipeline.places import read_json
from pipeline.search.space import Draw, draw

TRIALS = Path("search/trials")


@dataclass(frozen=True)
class Trial:
    """A drawn trial; `scores` of validation at the epoch that was kept, and `seconds`, are None until it is trained."""

    draw: Draw
    key: str
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


def read_trial(file: Path) -> Trial:
    """Return the trial in a file. Raises `InputError` if it holds none."""
    content = read_json(file)
    try:
        return Trial(Draw(**content["draw"]), content["key"], content["scores"], content["seconds"])
    except (KeyError, TypeError):
        raise InputError(f"{file}: is not a trial; remove it") from None


def read_trials(params: Params, search: Search) -> list[Trial]:
    """Return the trials that have been drawn by this search, in the order of recipes and numbers.

    Raises `InputError` for a damaged file.
    """
    names = [TRIALS / f"{recipe}-{number:03d}.json" for recipe in search.recipes for number in range(search.trials)]
    trials = [read_trial(file) for file in names if file.exists()]
    return [trial for trial in trials if trial.key == trial.draw.key(params, search)]


def run(params: Params, search: Search, jobs: int) -> list[Trial]:
    """Draw and train all trials, `jobs` at a time; those that are finished stay. Returns them in order.

    Raises `InputError` that names the trials that failed, after all others are done.
    """
    done = {trial.draw.name: trial for trial in read_trials(params, search)}
    failed: list[str] = []
    with ThreadPoolExecutor(jobs) as pool:
        running: dict[Future[int], Trial] = {}
        # The recipes take turns, so that a search that was stopped has given each as many trials.
        for number in range(search.trials):
            for recipe in search.recipes:
                trial = done.get(f"{recipe}-{number:03d}") or _drawn(params, search, recipe, number, [*done.values()])
                done[trial.draw.name] = trial
                if trial.scores is not None:
                    continue
                running[pool.submit(_train, trial)] = trial
                while len(running) >= jobs:
                    failed += _collect(running, done)
        while running:
            failed += _collect(running, done)
    if failed:
        raise InputError(f"search: {', '.join(failed)} failed: see the messages above; the same command tries again")
    return [done[f"{recipe}-{number:03d}"] for recipe in search.recipes for number in range(search.trials)]


def _drawn(params: Params, search: Search, recipe: str, number: int, known: Sequence[Trial]) -> Trial:
    told = [
        (trial.draw.values, trial.scores[search.metric])
        for trial in known
        if trial.draw.recipe == recipe and trial.scores is not None
    ]
    drawn = draw(search, recipe, number, told)
    trial = Trial(drawn, drawn.key(params, search))
    trial.write()
    return trial


def _train(trial: Trial) -> int:
    """Train a trial in a process of its own, which writes its file."""
    return subprocess.run([sys.executable, "-m", "pipeline.search.one_trial", str(trial.file)], check=False).returncode


def _collect(running: dict[Future[int], Trial], done: dict[str, Trial]) -> list[str]:
    """Wait for a trial to end; return the names of those that failed."""
    ended, _ = wait(running, return_when=FIRST_COMPLETED)
    failed = []
    for future in ended:
        trial = running.pop(future)
        if future.result():
            failed.append(trial.draw.name)
        else:
            done[trial.draw.name] = read_trial(trial.file)
            print(f"{trial.draw.name}: {trial.draw.head}, {done[trial.draw.name].scores}", flush=True)
    return failed
