"""Checks for what a cluster would refuse or not find, before anything is compiled."""

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from pathspec import GitIgnoreSpec

from acol.errors import Faults
from pipeline.kubeflow.components import Cluster
from pipeline.params import Params
from pipeline.tracking.store import without_password

TRACKING = "MLFLOW_TRACKING_URI"
# Patterns of Kubernetes: the name of a claim or secret, and the key of a secret that can be an environment variable.
NAME = r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
KEY = "[A-Za-z_][A-Za-z0-9_]*"
# Pattern of Docker: [HOST[:PORT]/]PATH[:TAG][@sha256:DIGEST]; only the host may have capitals.
IMAGE = (
    r"([A-Za-z0-9][-A-Za-z0-9.]*(:[0-9]+)?/)?[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*"
    r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?"
)
LOWER = "write lower-case letters, digits and hyphens"
# What Kubeflow Pipelines accepts for each option, and what the error says of other values.
OPTIONS = {
    "image": (IMAGE, "not an image's name; write it as in registry.example.com/acol:1"),
    "cpu": ("([0-9]*[.])?[0-9]+m?", "Kubeflow takes 4, 0.5 or 500m"),
    "memory": ("[0-9]+([EPTGMK]i?)?", "Kubeflow takes a whole number with its unit, such as 16G or 512Mi"),
    "gpus": ("[0-9]+", "a number from 0 is needed"),
    "nodes": ("[1-9][0-9]*", "a number from 1 is needed"),
    "processes": ("[1-9][0-9]*", "a number from 1 is needed"),
    "data_claim": (NAME, f"no claim has this name; {LOWER}"),
    "claim": (NAME, f"no claim has this name; {LOWER}"),
}


def check_options(options: Mapping[str, object]) -> list[str]:
    """Return a line for each option that a cluster would refuse; `options` has the values by name."""
    return [
        f"--{name.replace('_', '-')} {options[name]}: {remedy}"
        for name, (pattern, remedy) in OPTIONS.items()
        if options.get(name) is not None and not re.fullmatch(pattern, str(options[name]))
    ]


def check_cluster(cluster: Cluster, params: Params, root: Path, outputs: Collection[str]) -> None:
    """Raise `Faults` with all settings that a cluster would refuse, and all files that its tasks would not see.

    The image must hold the project in `root`, as `Dockerfile` builds it. `outputs` are the paths that tasks write.
    """
    faults = check_options(vars(cluster))
    faults += [*_secrets(cluster), *_server(cluster.tracking_uri), *_files(cluster, params, root, outputs)]
    if faults:
        raise Faults(faults)


def _secrets(cluster: Cluster) -> Iterator[str]:
    """Yield the faults of the secrets."""
    keys = []
    for secret in cluster.secrets:
        name, _, key = secret.partition("/")
        if not name or not re.fullmatch(KEY, key):
            yield f"--secret {secret}: not a secret and its key; write NAME/KEY"
        elif not re.fullmatch(NAME, name):
            yield f"--secret {secret}: no secret has this name; {LOWER}"
        keys.append(key)
    for key in sorted({key for key in keys if keys.count(key) > 1}):
        yield f"--secret: two secrets have the key {key}, and it becomes one environment variable; keep one"
    if cluster.tracking_uri is not None and TRACKING in keys:
        yield f"--tracking-uri: the secret {TRACKING} gives the address too; keep one"


def _server(uri: str | None) -> Iterator[str]:
    """Yield the fault of the address of the MLflow server."""
    if uri is None:
        return
    address = without_password(uri)
    try:
        parts = urlsplit(uri)
        host = parts.hostname
    except ValueError:
        parts, host = None, None
    if parts is None or host is None or parts.scheme in ("", "file", "sqlite"):
        yield f"--tracking-uri {address}: not a server that tasks can reach; write one as in http://mlflow:5000"
    elif host == "localhost" or host.startswith("127.") or host == "::1":
        yield f"--tracking-uri {address}: in a task this is the task itself; write the server's name on the cluster"
    elif parts.password:
        yield f"--tracking-uri {address}: the file would show the password; use --secret NAME/{TRACKING}"


def _files(cluster: Cluster, params: Params, root: Path, outputs: Collection[str]) -> Iterator[str]:
    """Yield the folders and files of the user that are neither in the container's image nor on the volume claim."""
    # The folder of images, unless a task makes it, and the files of weights.
    data = params.data
    paths = {} if data.path in outputs else {"data.path": data.path}
    claimed = cluster.data_claim is not None and Path(data.path).is_absolute() and bool(paths)
    if cluster.data_claim is not None and not claimed:
        yield "--data-claim: it is mounted at data.path; in params.yaml set data.path to an absolute one"
    for name in params.grid.backbones:
        backbone = params.backbones[name]
        if backbone.source == "file" and backbone.path:
            paths[f"backbones.{name}.path"] = backbone.path
    # Each must be on the claim, or in the project and not left out of the container's image.
    ignored = _ignored(root)
    for key, path in paths.items():
        place = root / path
        if claimed and Path(path).is_relative_to(data.path):
            continue
        remedy = "use --data-claim" if key == "data.path" else f"put it on a volume claim at {data.path}, --data-claim"
        if Path(path).is_absolute():
            yield f"params.yaml: {key}: {path}: no task will see it; {remedy}, or move it into the project"
        elif not place.exists():
            yield f"params.yaml: {key}: {path}: it is not in the project, so the image has none; put it there"
        elif not place.resolve().is_relative_to(root.resolve()):
            yield f"params.yaml: {key}: {path}: it lies outside the project, so the image has none; move it there"
        elif ignored.match_file(path):
            yield f"params.yaml: {key}: {path}: .dockerignore leaves it out of the image; remove that line"


def _ignored(root: Path) -> GitIgnoreSpec:
    """Return what .dockerignore leaves out. Its patterns are those of Git, but all of them start at the root."""
    file = root / ".dockerignore"
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    stripped = (line.strip() for line in lines if line.strip() and not line.startswith("#"))
    rooted = (re.sub("^(!?)/*", r"\1/", line) for line in stripped)
    return GitIgnoreSpec.from_lines(rooted)
