"""Reads the tasks of a project from DVC: its stages and cells, their settings and their dependencies."""

import functools
import operator
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import networkx as nx
from dvc.exceptions import DvcException
from dvc.repo import Repo
from ruamel.yaml import YAML

from acol.errors import InputError
from pipeline.params import Params, load_params
from pipeline.places import LABELS, MANIFEST
from pipeline.step import Step

Outputs = Mapping[Any, Mapping[str, str]]  # by stage and by the artifact's name: its path
_BEFORE = ("check", "installed")  # the faults of params.yaml are raised here; which code runs, the image says


@dataclass(frozen=True)
class Task:
    """A stage as Kubeflow gets it. `inputs` has for each input artifact the task that makes it and its name there."""

    name: str
    step: Step
    inputs: dict[str, tuple[str, str]]
    cached: bool

    @property
    def kind(self) -> str:
        """The name of the stage without its cell."""
        return self.name.partition("@")[0]


def tasks_of(root: Path) -> list[Task]:
    """Return the tasks of a project's stages, each after those on which it depends.

    Raises `InputError` if DVC cannot read the stages.
    """
    params = load_params(root / "params.yaml")
    content = YAML(typ="safe", pure=True).load((root / "params.yaml").read_text(encoding="utf-8"))
    try:
        with Repo(str(root)) as repo:
            graph = repo.index.graph
            stages = [*nx.lexicographical_topological_sort(graph.reverse(), key=repo.index.stages.index)]
    except DvcException as error:
        raise InputError(f"dvc.yaml: {' '.join(str(error).split())}") from None
    outputs = {stage: dict(_outputs(stage)) for stage in stages}
    # A stage may make the folder of images: the example draws its own. Else the images are the user's.
    drawing = [stage for stage in stages if any(out.def_path == params.data.path for out in stage.outs)]
    data = [] if drawing else [params.data.path]
    tasks = []
    # These stages are no tasks: one without outputs, which only prints; those of `_BEFORE`; and one whose output no
    # stage reads, such as the example's images if data.path is another folder.
    for stage in (stage for stage in stages if stage.outs and stage.name not in _BEFORE and graph.in_degree(stage)):
        # In dvc.yaml the hashes in the manifest stand for the images. A task in a folder of its own needs the images.
        images = [params.data.path] if _reads_images(stage) else []
        read = [*(dep.def_path for dep in stage.deps), *images]
        producers = [p for p in [*graph.successors(stage), *(drawing if images else [])] if p.name not in _BEFORE]
        paths, sources = _inputs(producers, outputs, read, several=not _key(stage))
        settings = content if stage.always_changed else _settings(stage, content, params)
        weights = _weights(stage, params)
        step = Step(stage.cmd, settings, paths, outputs[stage], data + weights)
        on_a_volume = _on_a_volume([*(data if images or stage.name == "split" else []), *weights])
        tasks.append(Task(stage.name, step, sources, cached=not stage.always_changed and not on_a_volume))
    # The search is no stage. Its task gets the images, the split and the weights, and all settings.
    if params.search:
        producers = [stage for stage in stages if stage.name.partition("@")[0] in ("draw", "split", "pretrained")]
        paths, sources = _inputs(producers, outputs)
        step = Step("python -m pipeline.search", dict(content), paths, {"search": "search"}, data)
        tasks.append(Task("search", step, sources, cached=not _on_a_volume(data)))
    return tasks


def _inputs(
    producers: Iterable[Any], outputs: Outputs, read: Sequence[str] | None = None, several: bool = True
) -> tuple[dict[str, str], dict[str, tuple[str, str]]]:
    """Return by name the path and the source of each artifact that the producers make at a path of `read`.

    If a task reads the artifacts of `several` cells, their names end with the cell.
    """
    paths, sources = {}, {}
    for producer in dict.fromkeys(producers):
        for artifact, path in outputs[producer].items():
            if read is None or any(_overlap(path, place) for place in read):
                name = f"{artifact}_{_identifier(_key(producer))}" if several and _key(producer) else artifact
                paths[name], sources[name] = path, (producer.name, artifact)
    return paths, sources


def _on_a_volume(paths: list[str]) -> bool:
    """Return whether a path is on a volume: Kubeflow's cache does not see that files there have changed."""
    return any(Path(path).is_absolute() for path in paths)


def _reads_images(stage: Any) -> bool:
    return not {LABELS.as_posix(), MANIFEST.as_posix()}.isdisjoint(dep.def_path for dep in stage.deps)


def _outputs(stage: Any) -> Iterator[tuple[str, str]]:
    """Yield name and path of a stage's artifacts: the folder of its cell, and each output that is not in one."""
    for out in stage.outs:
        parts = Path(out.def_path).parts
        if _key(stage) in parts:
            parts = parts[: parts.index(_key(stage)) + 1]
        name = [part.replace(_key(stage), "") if _key(stage) else part for part in parts]
        yield _identifier("_".join(name)), Path(*parts).as_posix()


def _settings(stage: Any, content: Mapping[str, Any], params: Params) -> dict[str, Any]:
    """Return the settings that a stage declares, by dotted name; of grid and backbones only the stage's own part."""
    names = [name for dep in stage.deps if dep.def_path == "params.yaml" for name in dep.params]
    declared: dict[str, Any] = {n: functools.reduce(operator.getitem, n.split("."), dict(content)) for n in names}
    if _reads_images(stage):
        declared |= {"data.source": params.data.source, "data.path": params.data.path}
    if "grid" in declared:
        return declared | {"backbones": content["backbones"]}
    if _key(stage) in content["backbones"]:
        declared |= {f"backbones.{_key(stage)}": content["backbones"][_key(stage)]}
    if cell := next((cell for cell in params.cells() if cell.name == _key(stage)), None):
        declared |= {"grid.backbones": [cell.backbone], "grid.heads": [str(cell.head)]}
        declared |= {f"backbones.{cell.backbone}": content["backbones"][cell.backbone]}
    return declared


def _weights(stage: Any, params: Params) -> list[str]:
    """Return the user's file of weights, if the stage is `pretrained` and reads one."""
    path = params.backbones[_key(stage)].path if stage.name.startswith("pretrained@") else None
    return [path] if path else []


def _key(stage: Any) -> str:
    """Return the cell or backbone that a stage is for, or nothing."""
    return str(stage.name.partition("@")[2])


def _identifier(text: str) -> str:
    return re.sub("[^a-z0-9]+", "_", text.lower()).strip("_")


def _overlap(path: str, other: str) -> bool:
    return Path(path).is_relative_to(other) or Path(other).is_relative_to(path)
