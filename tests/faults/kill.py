"""Kill a real training at random moments, half of them inside saving, until it is through; its files must be the same.

    python -m tests.faults --rounds 500

A round is one SIGKILL; the same command then goes on. When a training gets to its end, what it leaves (checkpoints,
history, summary, optimizer and schedule) is compared bit for bit with that of an undisturbed one, and the next begins.
"""

import hashlib
import multiprocessing
import os
import random
import shutil
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from acol import ACoL
from acol.files import sha256
from acol.network.weights import tensor_bytes
from acol.training.loop import Training
from acol.training.resume import RunState
from pipeline import train
from tests.faults import tiny
from tests.toy import toy_model

KILLS = 5  # of one training, at most
SAVING, STEP = 0.01, 0.05  # seconds that saving the toy's state and a step take, or a little more
_processes = multiprocessing.get_context("forkserver")  # a new process has the libraries loaded, and nothing else


@dataclass
class Tally:
    """What became of the rounds: kills by where they hit, trainings that got through, and those that differed."""

    kills: Counter[str] = field(default_factory=Counter)
    finished: int = 0
    lost: list[str] = field(default_factory=list)


def training(images: Path, folder: Path, saving: Any) -> None:
    """Train in this process; `saving` is odd while a state is written, and grows by two with each."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    tqdm.set_lock(threading.RLock())  # its own is a semaphore that a killed process leaves behind
    save, write_outputs = RunState.save, train.write_outputs

    def told(self: RunState, steps: int, state: dict) -> None:
        saving.value += 1
        save(self, steps, state)
        saving.value += 1

    def with_optimizer(job: train.Job, key: str, run: Training, *rest: Path) -> None:
        state = run.state_dict()
        final = tensor_bytes([state[part] for part in ("model", "optimizer", "schedule", "best_state")])
        (folder / "final").write_text(hashlib.sha256(final).hexdigest())
        write_outputs(job, key, run, *rest)

    RunState.save, train.write_outputs = told, with_optimizer  # type: ignore[method-assign]
    train.network_of = network_of
    tiny.fit(images, folder)


def network_of(job: train.Job) -> ACoL:
    """A job's network, but of three layers."""
    torch.manual_seed(job.settings.seed)
    return toy_model(job.head.recipe, len(job.manifest.classes))


def left(folder: Path) -> dict[str, str]:
    """The digest of everything that a finished training leaves, but its timing."""
    files = {path.name: sha256(path) for path in (folder / "model").iterdir()}
    states = [str(path) for path in (folder / "runs").rglob("*.state")]
    return files | {"final": (folder / "final").read_text(), "states left": str(states)}


def run(rounds: int, seed: int) -> Tally:
    """Kill `rounds` times and say what came of it."""
    _processes.set_forkserver_preload(["tests.faults.kill"])
    rng, tally, saving = random.Random(seed), Tally(), _processes.Value("i", 0, lock=False)
    with tempfile.TemporaryDirectory(prefix="acol-kill-") as scratch:
        images, folder = Path(scratch, "images"), Path(scratch, "run")
        tiny.write_images(images)
        assert _train(images, folder, saving) == 0
        expected = left(folder)
        while tally.kills.total() < rounds:
            shutil.rmtree(folder)
            for _ in range(min(KILLS, rounds - tally.kills.total())):
                if rng.random() < 0.5:
                    moment = 2 * rng.randrange(4) + 1, rng.uniform(0, SAVING)
                else:
                    moment = 2 * rng.randrange(5), rng.uniform(0, STEP)
                if _train(images, folder, saving, moment) == 0:
                    through = True  # before its moment came
                    break
                tally.kills["inside saving" if saving.value % 2 else "elsewhere"] += 1
            else:  # a kill may have come after the last step: all is written only after a run to the end
                through = _train(images, folder, saving) == 0
            if through:
                found = left(folder)
                differing = [name for name in expected if found.get(name) != expected[name]]
                tally.lost += [f"training {tally.finished}: {name} differs" for name in differing]
            else:
                tally.lost.append(f"training {tally.finished}: ended otherwise")
            tally.finished += 1
    return tally


def _train(images: Path, folder: Path, saving: Any, moment: tuple[int, float] | None = None) -> int | None:
    """Run the training to its end, or kill it some seconds after `saving` got to a value."""
    saving.value = 0
    process = _processes.Process(target=training, args=(images, folder, saving))
    process.start()
    if moment is not None:
        while saving.value < moment[0] and process.is_alive():
            time.sleep(0.0002)
        process.join(moment[1])
        process.kill()
    process.join()
    return process.exitcode
