"""Runs one stage of dvc.yaml in a temporary folder, with inputs and outputs where a workflow engine keeps them."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from ruamel.yaml import YAML

CODE = Path(__file__).resolve().parents[1]


class Artifact(Protocol):
    """Where an engine keeps a file or folder, and the metadata that the engine shows."""

    path: str
    metadata: dict[str, Any]


@dataclass(frozen=True)
class Step:
    """A stage's command and what it needs. Paths are those of dvc.yaml, relative to the project's folder.

    `params` are the settings on which the stage depends, by dotted name; all others are those of the code's
    params.yaml. `inputs` are the paths that other stages make and `outputs` those that this one makes, by the name of
    the artifact. `data` are the paths of the user's images and weights.
    """

    command: str
    params: dict[str, Any]
    inputs: dict[str, str]
    outputs: dict[str, str]
    data: list[str]

    def to_json(self) -> str:
        """Return the step as text for `run_step`; equal steps give the same text."""
        return json.dumps(asdict(self), sort_keys=True)


def run_step(step: str, inputs: Mapping[str, Artifact], outputs: Mapping[str, Artifact]) -> None:
    """Run a step, given as JSON, from input to output artifacts. If the stage fails, exit with its status."""
    stage = Step(**json.loads(step))
    with tempfile.TemporaryDirectory(prefix="acol-") as name_of_folder:
        folder = Path(name_of_folder)
        # Lay out the project that the stage sees.
        _write_params(folder / "params.yaml", stage.params)
        for name, path in stage.inputs.items():
            _link(folder / path, Path(inputs[name].path))
        for path in stage.data:
            if not Path(path).is_absolute():
                _link(folder / path, CODE / path)
        # The folder has parts of the project's tree but not its code, so nothing may be imported from it.
        program, *arguments = (sys.executable if word == "python" else word for word in shlex.split(stage.command))
        environment = {**os.environ, "PYTHONPATH": str(CODE), "PYTHONSAFEPATH": "1"}
        if status := subprocess.run([program, *arguments], cwd=folder, env=environment, check=False).returncode:
            sys.exit(status if status > 0 else 128 - status)
        # Give the outputs to the engine.
        for name, path in stage.outputs.items():
            target = Path(outputs[name].path)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(folder / path, target)
            outputs[name].metadata.update({"path": path}, **_scores(target))


def _link(place: Path, target: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target.absolute())


def _write_params(path: Path, params: Mapping[str, Any]) -> None:
    yaml = YAML(typ="safe", pure=True)
    content = yaml.load((CODE / "params.yaml").read_text(encoding="utf-8"))
    for name, value in params.items():
        section = content
        *outer, key = name.split(".")
        for part in outer:
            section = section.setdefault(part, {})
        section[key] = value
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(content, file)


def _scores(output: Path) -> dict[str, float]:
    """Return the numbers in a folder of scores, which the engine can show."""
    file = output / "metrics.json"
    if not file.is_file():
        return {}
    return {name: value for name, value in json.loads(file.read_text()).items() if isinstance(value, int | float)}
