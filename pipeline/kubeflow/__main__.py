"""kubeflow: makes a pipeline for Kubeflow Pipelines of dvc.yaml, and a job for Kubeflow Trainer of a cell's training.

    python -m pipeline.kubeflow compile --image IMAGE --out acol.yaml   a pipeline to upload: a task for each stage
    python -m pipeline.kubeflow run --out FOLDER                        the same pipeline on this machine
    python -m pipeline.kubeflow trainjob BACKBONE HEAD --image IMAGE    a TrainJob: torchrun on several nodes

A task runs the command of its stage with the code in the image (`pipeline.step`), so IMAGE must be built from this
project.
"""

import argparse
import os
import sys
from pathlib import Path

from kfp import compiler, local
from ruamel.yaml import YAML

from acol.errors import Faults
from acol.files import atomic_write
from pipeline import cli
from pipeline.kubeflow.checks import TRACKING, check_cluster, check_options
from pipeline.kubeflow.components import Cluster, pipeline_of
from pipeline.kubeflow.graph import tasks_of
from pipeline.kubeflow.train_job import train_job
from pipeline.params import load_params
from pipeline.tracking.store import store_uri


def compile_to(out: Path, cluster: Cluster) -> None:
    """Write the pipeline of this folder's project, atomically, and print where it is.

    Raises `InputError` for what the cluster would refuse or not find.
    """
    tasks = tasks_of(Path.cwd())
    check_cluster(cluster, load_params(), Path.cwd(), {path for task in tasks for path in task.step.outputs.values()})
    with atomic_write(out) as temporary:
        # The compiler takes only names that end in .yaml.
        compiler.Compiler().compile(pipeline_of(tasks, cluster), str(temporary.with_suffix(".yaml")))
        temporary.with_suffix(".yaml").rename(temporary)
    print(f"{out}: a pipeline of {len(tasks)} tasks; upload it to Kubeflow Pipelines")
    if cluster.tracking_uri is None and not any(secret.endswith(f"/{TRACKING}") for secret in cluster.secrets):
        print("note: without --tracking-uri the runs in MLflow end with their tasks", file=sys.stderr)
    name = cluster.image.rpartition("/")[2]
    if ":" not in name or name.endswith(":latest"):
        print(
            f"note: {cluster.image} does not say which build; after a new one of that name Kubeflow takes old "
            "results from its cache: give each build a tag of its own",
            file=sys.stderr,
        )


def run_here(folder: Path) -> None:
    """Run the tasks one after another on this machine, with their artifacts in `folder`."""
    os.environ.setdefault("MLFLOW_TRACKING_URI", store_uri(Path.cwd()))
    tasks = tasks_of(Path.cwd())
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(folder), raise_on_error=True)
    pipeline_of(tasks, Cluster(image="here"))()
    print(f"{folder}: the artifacts of {len(tasks)} tasks, a folder each; see compare*/report_index_html")


def _read_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.kubeflow", description="The grid on Kubeflow.")
    commands = parser.add_subparsers(required=True, dest="command")
    compiling = commands.add_parser("compile", help="write the pipeline as a file to upload")
    compiling.add_argument("--out", type=Path, required=True, help="YAML file to write")
    compiling.add_argument("--image", required=True, help="container image built from this project")
    compiling.add_argument("--cpu", help="CPU request of each task, such as 4")
    compiling.add_argument("--memory", help="memory of each task, such as 16G")
    compiling.add_argument("--gpus", type=int, default=0, help="GPUs of each task that runs a network")
    compiling.add_argument("--tracking-uri", help="MLflow server that the tasks log to")
    compiling.add_argument("--data-claim", help="volume claim to mount at data.path")
    compiling.add_argument(
        "--secret", action="append", default=[], metavar="NAME/KEY", help="secret for environment variable KEY"
    )
    running = commands.add_parser("run", help="run the pipeline on this machine")
    running.add_argument("--out", type=Path, required=True, help="folder for the artifacts")
    job = commands.add_parser("trainjob", help="print a TrainJob for a cell")
    job.add_argument("backbone", help="name of an entry under backbones in params.yaml")
    job.add_argument("head", help="recipe such as pn-0.9")
    job.add_argument("--image", required=True, help="container image built from this project")
    job.add_argument("--claim", required=True, help="volume claim that holds the project's folder")
    job.add_argument("--nodes", type=int, default=1, help="number of nodes (default: %(default)s)")
    job.add_argument("--processes", type=int, default=1, help="processes on each node (default: %(default)s)")
    job.add_argument("--gpus", type=int, default=0, help="GPUs of each node")
    return parser.parse_args()


@cli.main
def main() -> None:
    """Run the command that the command line names."""
    options = vars(_read_arguments())
    command = options.pop("command")
    if command == "compile":
        out, secrets = options.pop("out"), options.pop("secret")
        compile_to(out, Cluster(data_path=load_params().data.path, secrets=secrets, **options))
    elif command == "run":
        run_here(options["out"].absolute())
    else:
        if faults := check_options(options):
            raise Faults(faults)
        cell = load_params().cell(options.pop("backbone"), options.pop("head"))
        YAML(typ="safe", pure=True).dump(train_job(cell, **options), sys.stdout)


if __name__ == "__main__":
    main()
