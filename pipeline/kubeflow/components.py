"""Makes a pipeline of Kubeflow Pipelines from the tasks."""

import linecache
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from kfp import dsl, kubernetes

from pipeline.kubeflow.graph import Task

TRIES = 3  # times that a task is tried
# The type of an artifact in Kubeflow's pages, by its folder or the end of its name.
TYPES = {
    "results": "Metrics",
    "untrained": "Metrics",
    "models": "Model",
    "pretrained": "Model",
    ".html": "HTML",
    ".md": "Markdown",
    "": "Dataset",
}
LEARNS = ("pretrained", "untrained", "train", "evaluate")  # the stages that a GPU speeds up


@dataclass(frozen=True)
class Cluster:
    """What the cluster gives to each task.

    The volume claim `data_claim` is mounted at `data_path`. Each of `secrets`, NAME/KEY, becomes the environment
    variable KEY.
    """

    image: str
    cpu: str | None = None
    memory: str | None = None
    gpus: int = 0
    tracking_uri: str | None = None
    data_claim: str | None = None
    data_path: str = ""
    secrets: Sequence[str] = field(default_factory=list)


def pipeline_of(tasks: Sequence[Task], cluster: Cluster) -> Any:
    """Return the Kubeflow pipeline of the tasks."""

    def grid() -> None:
        by_name: dict[str, Any] = {}
        for task in tasks:
            inputs = {name: by_name[producer].outputs[output] for name, (producer, output) in task.inputs.items()}
            by_name[task.name] = of_kfp = component(task, cluster.image)(step=task.step.to_json(), **inputs)
            of_kfp.set_display_name(task.name)
            of_kfp.set_retry(num_retries=TRIES - 1, backoff_duration="30s")
            of_kfp.set_caching_options(task.cached)
            set_resources(of_kfp, task, cluster)

    return dsl.pipeline(name="acol", description="Localization by erasing, over a grid of experiments.")(grid)


def component(task: Task, image: str) -> Callable[..., Any]:
    """Return the component of a task, which calls `pipeline.step.run_step` with its artifacts.

    Kubeflow reads the interface and code of a component from the source of a function. Its arguments depend on the
    grid, since a comparison reads the artifacts of all cells. So the source is written here.
    """
    inputs = [f"{name}: Input[Artifact]" for name in task.inputs]
    outputs = [f"{name}: Output[{_type(path)}]" for name, path in task.step.outputs.items()]
    reads, writes = (", ".join(f'"{name}": {name}' for name in names) for names in (task.inputs, task.step.outputs))
    code = (
        f"def {task.kind}({', '.join(['step: str', *inputs, *outputs])}):\n"
        "    from pipeline.step import run_step\n"
        f"    run_step(step, {{{reads}}}, {{{writes}}})\n"
    )
    file = f"<{task.kind} {hash(code)}>"
    linecache.cache[file] = (len(code), None, code.splitlines(keepends=True), file)  # Kubeflow reads the source there
    namespace: dict[str, Any] = {name: getattr(dsl, name) for name in ("Artifact", "Input", "Output", *TYPES.values())}
    exec(compile(code, file, "exec"), namespace)
    as_component = dsl.component(base_image=image, install_kfp_package=False)
    return cast(Callable[..., Any], as_component(namespace[task.kind]))


def set_resources(of_kfp: Any, task: Task, cluster: Cluster) -> None:
    """Set the resources, data and secrets of the Kubeflow task that was made from a task."""
    if cluster.cpu:
        of_kfp.set_cpu_request(cluster.cpu)
    if cluster.memory:
        of_kfp.set_memory_request(cluster.memory)
        of_kfp.set_memory_limit(cluster.memory)
    if cluster.gpus and task.kind in LEARNS:
        of_kfp.set_accelerator_type("nvidia.com/gpu")
        of_kfp.set_accelerator_limit(cluster.gpus)
    if cluster.tracking_uri:
        of_kfp.set_env_variable("MLFLOW_TRACKING_URI", cluster.tracking_uri)
    if cluster.data_claim:
        kubernetes.mount_pvc(of_kfp, pvc_name=cluster.data_claim, mount_path=cluster.data_path)
    for secret in cluster.secrets:
        name, _, key = secret.partition("/")
        kubernetes.use_secret_as_env(of_kfp, secret_name=name, secret_key_to_env={key: key})


def _type(path: str) -> str:
    return next(kind for mark, kind in TYPES.items() if path.endswith(mark) or path.split("/")[0] == mark)
