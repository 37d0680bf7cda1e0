"""kubeflow: the graph of dvc.yaml for Kubeflow Pipelines, and one cell's training for Kubeflow Trainer.

    python -m pipeline.kubeflow compile --image IMAGE --out acol.yaml   a pipeline to upload: a task for each stage
    python -m pipeline.kubeflow run --out FOLDER                        the same pipeline on this machine
    python -m pipeline.kubeflow trainjob BACKBONE HEAD --image IMAGE    a TrainJob: torchrun on several nodes

Stages, cells, what depends on what, and which settings a stage sees are DVC's own reading of dvc.yaml and params.yaml.
A task runs its stage's command on the image's code (`pipeline.step`), so IMAGE must be built from this project.
"""

import argparse
import functools
import linecache
import operator
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import networkx as nx
from dvc.exceptions import DvcException
from dvc.repo import Repo
from kfp import compiler, dsl, kubernetes, local
from ruamel.yaml import YAML

from acol.errors import InputError
from acol.files import atomic_write
from pipeline import cli
from pipeline.params import Cell, Params, load_params
from pipeline.places import DRAWN, LABELS, MANIFEST
from pipeline.step import Step
from pipeline.tracking.locations import store_uri

WORKDIR = "/project"  # of the image
TRIES = 3  # of a task
# What Kubeflow's pages make of an artifact, by its folder or the end of its name.
TYPES = {
    "results": "Metrics",
    "models": "Model",
    "pretrained": "Model",
    ".html": "HTML",
    ".md": "Markdown",
    "": "Dataset",
}
LEARNS = ("pretrained", "train", "evaluate")  # the stages that a GPU speeds up


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


@dataclass(frozen=True)
class Cluster:
    """What the tasks get of the cluster."""

    image: str
    cpu: str | None = None
    memory: str | None = None
    gpus: int = 0
    tracking_uri: str | None = None
    data_claim: str | None = None  # a volume claim, mounted where data.path says
    secrets: Sequence[str] = field(default_factory=list)  # NAME/KEY; each becomes the environment variable KEY


def tasks_of(root: Path) -> list[Task]:
    """Return the tasks of a project's stages, each after those it depends on; raises `InputError` where DVC cannot."""
    params = load_params(root / "params.yaml")
    content = YAML(typ="safe", pure=True).load((root / "params.yaml").read_text(encoding="utf-8"))
    try:
        with Repo(str(root)) as repo:
            graph = repo.index.graph
            stages = [*nx.lexicographical_topological_sort(graph.reverse(), key=repo.index.stages.index)]
    except DvcException as error:
        raise InputError(f"dvc.yaml: {' '.join(str(error).split())}") from None
    outputs = {stage: dict(_outputs(stage)) for stage in stages}
    data = [params.data.path] if params.data.source == "folder" else []  # whoever reads images reads them there
    found = []
    for stage in (stage for stage in stages if stage.outs):  # what leaves nothing only tells a user something
        inputs, places = {}, {}
        read = [dep.def_path for dep in stage.deps]
        if {LABELS.as_posix(), MANIFEST.as_posix()} & {*read}:
            read.append(DRAWN.as_posix())  # DVC need not ask for images whose hashes are in what it asks for
        for producer in graph.successors(stage):
            for artifact, path in outputs[producer].items():
                if any(_meet(path, dep) for dep in read):
                    name = (
                        f"{artifact}_{_identifier(_key(producer))}" if _key(producer) and not _key(stage) else artifact
                    )
                    inputs[name], places[name] = (producer.name, artifact), path
        settings = content if stage.always_changed else _settings(stage, content, params)
        step = Step(stage.cmd, settings, places, outputs[stage], data)
        found.append(Task(stage.name, step, inputs, cached=not stage.always_changed))
    return found


def _key(stage: Any) -> str:
    return str(stage.name.partition("@")[2])


def _identifier(text: str) -> str:
    return re.sub("[^a-z0-9]+", "_", text.lower()).strip("_")


def _meet(path: str, other: str) -> bool:
    one, two = Path(path), Path(other)
    return one == two or one in two.parents or two in one.parents


def _outputs(stage: Any) -> Iterator[tuple[str, str]]:
    """Artifacts of a stage, by name: what lies in its cell's folder is one, everything else one each."""
    for out in stage.outs:
        parts = Path(out.def_path).parts
        if _key(stage) in parts:
            parts = parts[: parts.index(_key(stage)) + 1]
        name = [part.replace(_key(stage), "") if _key(stage) else part for part in parts]
        yield _identifier("_".join(name)), Path(*parts).as_posix()


def _settings(stage: Any, content: Mapping[str, Any], params: Params) -> dict[str, Any]:
    """The settings that a stage declares, by dotted name, and of grid and backbones no more than concerns it."""
    names = [name for dep in stage.deps for name in getattr(dep, "params", [])]
    found: dict[str, Any] = {name: functools.reduce(operator.getitem, name.split("."), dict(content)) for name in names}
    if "grid" in found:
        return found | {"backbones": content["backbones"]}
    if cell := next((cell for cell in params.cells() if cell.name == _key(stage)), None):
        found |= {"grid.backbones": [cell.backbone], "grid.heads": [cell.head]}
        found |= {f"backbones.{cell.backbone}": content["backbones"][cell.backbone]}
    return found


def pipeline_of(tasks: Sequence[Task], cluster: Cluster) -> Any:
    """Return the Kubeflow pipeline of the tasks."""

    def grid() -> None:
        made: dict[str, Any] = {}
        for task in tasks:
            run = component(task.kind, source(task), cluster.image)
            given = {name: made[producer].outputs[output] for name, (producer, output) in task.inputs.items()}
            made[task.name] = run(step=task.step.to_json(), **given)
            made[task.name].set_display_name(task.name)
            made[task.name].set_retry(num_retries=TRIES - 1, backoff_duration="30s")
            made[task.name].set_caching_options(task.cached)
            furnish(made[task.name], task, cluster)

    return dsl.pipeline(name="acol", description="Localization by erasing, over a grid of experiments.")(grid)


def source(task: Task) -> str:
    """Return the function of a task's component, which hands its artifacts to `pipeline.step.run`.

    Kubeflow takes a component's interface and code from a function's source; how many cells a comparison has is known
    only here, so the source is written here.
    """
    inputs = [f"{name}: Input[Artifact]" for name in task.inputs]
    outputs = [f"{name}: Output[{_type(path)}]" for name, path in task.step.outputs.items()]
    return (
        f"def {task.kind}({', '.join(['step: str', *inputs, *outputs])}):\n"
        "    from pipeline.step import run\n"
        f"    run(step, {{{_by_name(task.inputs)}}}, {{{_by_name(task.step.outputs)}}})\n"
    )


def component(kind: str, code: str, image: str) -> Callable[..., Any]:
    """Return the component that the source of a function named `kind` makes."""
    file = f"<{kind} {hash(code)}>"
    linecache.cache[file] = (len(code), None, code.splitlines(keepends=True), file)
    namespace: dict[str, Any] = {name: getattr(dsl, name) for name in ("Artifact", "Input", "Output", *TYPES.values())}
    exec(compile(code, file, "exec"), namespace)
    made: Callable[..., Any] = dsl.component(base_image=image, install_kfp_package=False)(namespace[kind])
    return made


def _type(path: str) -> str:
    return next(kind for mark, kind in TYPES.items() if path.endswith(mark) or path.split("/")[0] == mark)


def _by_name(names: Mapping[str, object]) -> str:
    return ", ".join(f'"{name}": {name}' for name in names)


def furnish(task: Any, of: Task, cluster: Cluster) -> None:
    """Give a task its share of the cluster."""
    if cluster.cpu:
        task.set_cpu_request(cluster.cpu)
    if cluster.memory:
        task.set_memory_request(cluster.memory)
        task.set_memory_limit(cluster.memory)
    if cluster.gpus and of.kind in LEARNS:
        task.set_accelerator_type("nvidia.com/gpu")
        task.set_accelerator_limit(cluster.gpus)
    if cluster.tracking_uri:
        task.set_env_variable("MLFLOW_TRACKING_URI", cluster.tracking_uri)
    if cluster.data_claim:
        kubernetes.mount_pvc(task, pvc_name=cluster.data_claim, mount_path=of.step.given[0])
    for secret in cluster.secrets:
        name, _, key = secret.partition("/")
        kubernetes.use_secret_as_env(task, secret_name=name, secret_key_to_env={key: key})


def train_job(cell: Cell, image: str, nodes: int, processes: int, gpus: int, claim: str) -> dict[str, Any]:
    """Return the TrainJob that trains a cell by `torchrun`, `processes` on each of `nodes`.

    The claim holds the project's folder, split and pretrained weights in it, and is mounted where the image has its
    code: the model, and the state from which a restarted job goes on, come to lie there.
    """
    mounted: dict[str, Any] = {
        "containers": [{"name": "node", "volumeMounts": [{"name": "project", "mountPath": WORKDIR}]}],
        "volumes": [{"name": "project", "persistentVolumeClaim": {"claimName": claim}}],
    }
    replicated = {"name": "node", "template": {"spec": {"template": {"spec": mounted}}}}
    resources = {"resourcesPerNode": {"limits": {"nvidia.com/gpu": gpus}}} if gpus else {}
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": {"name": f"acol-{cell.name}".lower().replace("_", "-").replace(".", "-")},
        "spec": {
            "runtimeRef": {"name": "torch-distributed"},
            "trainer": {
                "image": image,
                "numNodes": nodes,
                "numProcPerNode": processes,
                "command": ["torchrun", "-m", "pipeline.train", cell.backbone, cell.head],
                **resources,
            },
            "runtimePatches": [
                {
                    "manager": "acol.dev/project",
                    "trainingRuntimeSpec": {"template": {"spec": {"replicatedJobs": [replicated]}}},
                }
            ],
        },
    }


def run_here(tasks: Sequence[Task], folder: Path) -> None:
    """Run the tasks one after another on this machine; their artifacts come to lie in `folder`."""
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(folder), raise_on_error=True)
    pipeline_of(tasks, Cluster(image="here"))()


@cli.main
def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.kubeflow", description="The grid on Kubeflow.")
    commands = parser.add_subparsers(required=True, dest="command")
    compiling = commands.add_parser("compile", help="write the pipeline, to be uploaded")
    compiling.add_argument("--out", type=Path, required=True, help="YAML file")
    compiling.add_argument("--image", required=True, help="built from this project")
    compiling.add_argument("--cpu", help="request of a task, such as 4")
    compiling.add_argument("--memory", help="of a task, such as 16G")
    compiling.add_argument("--gpus", type=int, default=0, help="of a task that runs networks")
    compiling.add_argument("--tracking-uri", help="MLflow server that the tasks log to")
    compiling.add_argument("--data-claim", help="volume claim to mount at data.path")
    compiling.add_argument(
        "--secret", action="append", default=[], metavar="NAME/KEY", help="a secret's key, as environment variable KEY"
    )
    running = commands.add_parser("run", help="run the pipeline on this machine")
    running.add_argument("--out", type=Path, required=True, help="folder for the artifacts")
    job = commands.add_parser("trainjob", help="print a TrainJob for a cell")
    job.add_argument("backbone")
    job.add_argument("head")
    job.add_argument("--image", required=True, help="built from this project")
    job.add_argument("--claim", required=True, help="volume claim that holds the project's folder")
    job.add_argument("--nodes", type=int, default=1)
    job.add_argument("--processes", type=int, default=1, help="of a node (default: %(default)s)")
    job.add_argument("--gpus", type=int, default=0, help="of a node")
    arguments = parser.parse_args()
    if arguments.command == "compile":
        compile_to(arguments)
    elif arguments.command == "run":
        os.environ.setdefault("MLFLOW_TRACKING_URI", store_uri(Path.cwd()))
        run_here(tasks_of(Path.cwd()), arguments.out.absolute())
    else:
        cell = load_params().cell(arguments.backbone, arguments.head)
        manifest = train_job(
            cell, arguments.image, arguments.nodes, arguments.processes, arguments.gpus, arguments.claim
        )
        YAML(typ="safe", pure=True).dump(manifest, sys.stdout)


def compile_to(arguments: argparse.Namespace) -> None:
    """Write the compiled pipeline, whole or not at all; raises `InputError` for a setting that cannot be."""
    data = load_params().data
    if arguments.data_claim and not (data.source == "folder" and Path(data.path).is_absolute()):
        raise InputError(
            "--data-claim: params.yaml's data is no folder by an absolute path to mount it at; set data.path"
        )
    for secret in arguments.secret:
        if not re.fullmatch("[^/]+/[A-Za-z_][A-Za-z0-9_]*", secret):
            raise InputError(f"--secret {secret}: name a secret and its key as NAME/KEY")
    cluster = Cluster(
        arguments.image,
        arguments.cpu,
        arguments.memory,
        arguments.gpus,
        arguments.tracking_uri,
        arguments.data_claim,
        arguments.secret,
    )
    with atomic_write(arguments.out) as temporary:
        compiler.Compiler().compile(pipeline_of(tasks_of(Path.cwd()), cluster), str(temporary.with_suffix(".yaml")))
        temporary.with_suffix(".yaml").rename(temporary)


if __name__ == "__main__":
    main()
