"""The tasks of a project: its stages, cells, settings and dependencies, as DVC reads them."""

import functools
import operator
import re
from collections.abc import Iterator, Mapping
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


@dataclass(frozen=True)
class Task:
    """A stage as Kubeflow gets it: `inputs` names, for each input artifact, the task and its output."""

    name: str
    step: Step
    inputs: dict[str, tuple[str, str]]
    cached: bool

    @property
    def kind(self) -> str:
        """The stage's name without its cell."""
        return self.name.partition("@")[0]


def tasks_of(root: Path) -> list[Task]:
    """Return the tasks of a project's stages, each after those it depends on; raises `InputError` if DVC fails."""
    params = load_params(root / "params.yaml")
    content = YAML(typ="safe", pure=True).load((root / "params.yaml").read_text(encoding="utf-8"))
    try:
        with Repo(str(root)) as repo:
            graph = repo.index.graph
            stages = [*nx.lexicographical_topological_sort(graph.reverse(), key=repo.index.stages.index)]
    except DvcException as error:
        raise InputError(f"dvc.yaml: {' '.join(str(error).split())}") from None
    outputs = {stage: dict(_outputs(stage)) for stage in stages}
    # Tasks that read images read them in data.path, which a stage may make: the example draws its own.
    drawing = [stage for stage in stages if any(out.def_path == params.data.path for out in stage.outs)]
    data = [] if drawing else [params.data.path]
    found = []
    # A stage without outputs only prints, what `check` would say was said above, and what no stage reads, such as the
    # example's images where data.path is another folder, is not made.
    for stage in (stage for stage in stages if stage.outs and stage.name != "check" and graph.in_degree(stage)):
        # For DVC the images' hashes in the manifest are enough; a task in a folder of its own needs the images.
        images = [params.data.path] if _reads_images(stage) else []
        read = [*(dep.def_path for dep in stage.deps), *images]
        places, sources = {}, {}
        for producer in dict.fromkeys([*graph.successors(stage), *(drawing if images else [])]):
            for artifact, path in outputs[producer].items():
                if producer.name != "check" and any(_meet(path, each) for each in read):
                    name = _named(artifact, producer, several=not _key(stage))
                    places[name], sources[name] = path, (producer.name, artifact)
        settings = content if stage.always_changed else _settings(stage, content, params)
        weights = _weights(stage, params)
        step = Step(stage.cmd, settings, places, outputs[stage], data + weights)
        of_a_volume = _on_a_volume([*(data if images or stage.name == "split" else []), *weights])
        found.append(Task(stage.name, step, sources, cached=not stage.always_changed and not of_a_volume))
    if params.search:
        # The search is no stage: its command on the images, the split and the weights, with all settings.
        places, sources = {}, {}
        for producer in (stage for stage in stages if stage.name.partition("@")[0] in ("draw", "split", "pretrained")):
            for artifact, path in outputs[producer].items():
                name = _named(artifact, producer, several=True)
                places[name], sources[name] = path, (producer.name, artifact)
        step = Step("python -m pipeline.search", dict(content), places, {"search": "search"}, data)
        found.append(Task("search", step, sources, cached=not _on_a_volume(data)))
    return found


def _on_a_volume(paths: list[str]) -> bool:
    # Kubeflow's key for its cache does not see what a volume holds, such as images that were added or corrected.
    return any(Path(path).is_absolute() for path in paths)


def _reads_images(stage: Any) -> bool:
    return not {LABELS.as_posix(), MANIFEST.as_posix()}.isdisjoint(dep.def_path for dep in stage.deps)


def _named(artifact: str, producer: Any, several: bool) -> str:
    """Return the artifact's name, followed by its cell if a task reads those of several cells."""
    return f"{artifact}_{_identifier(_key(producer))}" if several and _key(producer) else artifact


def _outputs(stage: Any) -> Iterator[tuple[str, str]]:
    """The artifacts of a stage, by name: its cell's folder is one, and so is every other output."""
    for out in stage.outs:
        parts = Path(out.def_path).parts
        if _key(stage) in parts:
            parts = parts[: parts.index(_key(stage)) + 1]
        name = [part.replace(_key(stage), "") if _key(stage) else part for part in parts]
        yield _identifier("_".join(name)), Path(*parts).as_posix()


def _settings(stage: Any, content: Mapping[str, Any], params: Params) -> dict[str, Any]:
    """The settings that a stage declares, by dotted name; of grid and backbones only its own part."""
    names = [name for dep in stage.deps for name in getattr(dep, "params", [])]
    found: dict[str, Any] = {name: functools.reduce(operator.getitem, name.split("."), dict(content)) for name in names}
    if _reads_images(stage):
        found |= {"data.source": params.data.source, "data.path": params.data.path}
    if "grid" in found:
        return found | {"backbones": content["backbones"]}
    if _key(stage) in content["backbones"]:
        found |= {f"backbones.{_key(stage)}": content["backbones"][_key(stage)]}
    if cell := next((cell for cell in params.cells() if cell.name == _key(stage)), None):
        found |= {"grid.backbones": [cell.backbone], "grid.heads": [str(cell.head)]}
        found |= {f"backbones.{cell.backbone}": content["backbones"][cell.backbone]}
    return found


def _weights(stage: Any, params: Params) -> list[str]:
    """The user's own file that the stage `pretrained` reads, if the backbone's weights come from one."""
    path = params.backbones[_key(stage)].path if stage.name.startswith("pretrained@") else None
    return [path] if path else []


def _key(stage: Any) -> str:
    """Return the cell or backbone that a stage is for, or nothing."""
    return str(stage.name.partition("@")[2])


def _identifier(text: str) -> str:
    return re.sub("[^a-z0-9]+", "_", text.lower()).strip("_")


def _meet(path: str, other: str) -> bool:
    one, two = Path(path), Path(other)
    return one == two or one in two.parents or two in one.parents
