"""What a cluster would refuse, or not find, told before anything is compiled."""

import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from pathspec import GitIgnoreSpec

from acol.errors import Faults
from pipeline.kubeflow.components import Cluster
from pipeline.params import Params
from pipeline.tracking.store import without_password

# Of Kubernetes: the names of claims and secrets, and the keys of a secret that can be an environment variable.
NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
KEY = re.compile("[A-Za-z_][A-Za-z0-9_]*")
# Of Docker: [HOST[:PORT]/]PATH[:TAG][@sha256:DIGEST]; only the host may have capitals.
IMAGE = re.compile(
    r"([A-Za-z0-9][-A-Za-z0-9.]*(:\d+)?/)?[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*"
    r"(:\w[\w.-]{0,127})?(@sha256:[0-9a-f]{64})?",
    re.ASCII,
)
# Of Kubeflow Pipelines.
CPU = re.compile(r"([0-9]*[.])?[0-9]+m?")
MEMORY = re.compile("[0-9]+([EPTGMK]i?)?")
TRACKING = "MLFLOW_TRACKING_URI"


def check(cluster: Cluster, params: Params, root: Path, made: Collection[str]) -> None:
    """Raise `Faults` with all settings of a cluster that it would refuse, and all files that its tasks would not see.

    The image is taken to hold the project in `root`, as `Dockerfile` builds it; `made` are the paths that tasks write.
    """
    faults = [
        *_options(cluster),
        *_secrets(cluster),
        *_server(cluster.tracking_uri),
        *_files(cluster, params, root, made),
    ]
    if faults:
        raise Faults(faults)


def check_job(image: str, claim: str, nodes: int, processes: int, gpus: int) -> None:
    """Raise `Faults` with all settings of a TrainJob that a cluster would refuse."""
    faults = [*_image(image), *_claim("--claim", claim)]
    numbers = (("--nodes", nodes, 1), ("--processes", processes, 1), ("--gpus", gpus, 0))
    faults += [
        f"{option} {number}: a number from {least} is needed" for option, number, least in numbers if number < least
    ]
    if faults:
        raise Faults(faults)


def _image(image: str) -> Iterator[str]:
    if not IMAGE.fullmatch(image):
        yield f"--image {image}: not an image's name; write it as in registry.example.com/acol:1"


def _claim(option: str, claim: str) -> Iterator[str]:
    if not NAME.fullmatch(claim):
        yield f"{option} {claim}: no claim has this name; write lower-case letters, digits and hyphens"


def _options(cluster: Cluster) -> Iterator[str]:
    yield from _image(cluster.image)
    if cluster.cpu is not None and not CPU.fullmatch(cluster.cpu):
        yield f"--cpu {cluster.cpu}: Kubeflow takes 4, 0.5 or 500m"
    if cluster.memory is not None and not MEMORY.fullmatch(cluster.memory):
        yield f"--memory {cluster.memory}: Kubeflow takes a whole number with its unit, such as 16G or 512Mi"
    if cluster.gpus < 0:
        yield f"--gpus {cluster.gpus}: a number from 0 is needed"
    if cluster.data_claim is not None:
        yield from _claim("--data-claim", cluster.data_claim)


def _secrets(cluster: Cluster) -> Iterator[str]:
    keys = []
    for secret in cluster.secrets:
        name, slash, key = secret.partition("/")
        if not slash or not name or not KEY.fullmatch(key):
            yield f"--secret {secret}: not a secret and its key; write NAME/KEY"
        elif not NAME.fullmatch(name):
            yield f"--secret {secret}: no secret has this name; write lower-case letters, digits and hyphens"
        keys.append(key)
    for key in sorted({key for key in keys if keys.count(key) > 1}):
        yield f"--secret: two secrets have the key {key}, and it becomes one environment variable; keep one"
    if cluster.tracking_uri is not None and TRACKING in keys:
        yield f"--tracking-uri: the secret {TRACKING} says it too; keep one"


def _server(uri: str | None) -> Iterator[str]:
    if uri is None:
        return
    shown = without_password(uri)
    try:
        parts = urlsplit(uri)
        host = parts.hostname
    except ValueError:
        parts, host = None, None
    if parts is None or host is None or parts.scheme in ("", "file", "sqlite"):
        yield f"--tracking-uri {shown}: not a server that tasks can reach; write one as in http://mlflow:5000"
    elif host == "localhost" or host.startswith("127.") or host == "::1":
        yield f"--tracking-uri {shown}: in a task this is the task itself; write the server's name on the cluster"
    elif parts.password:
        yield f"--tracking-uri {shown}: the file would show the password; use --secret NAME/{TRACKING}"


def _files(cluster: Cluster, params: Params, root: Path, made: Collection[str]) -> Iterator[str]:
    """The images and weights that are neither in the image nor on the claim."""
    data = params.data
    given = [("data.path", data.path)] if data.path not in made else []
    if cluster.data_claim is not None and not (given and Path(data.path).is_absolute()):
        yield ("--data-claim: it is mounted at data.path; in params.yaml set data.path to an absolute one")
    used = {name: params.backbones[name] for name in params.grid.backbones}
    given += [(f"backbones.{name}.path", its.path) for name, its in used.items() if its.source == "file" and its.path]
    ignored = _ignored(root)
    for key, path in given:
        place = root / path
        on_claim = cluster.data_claim is not None and Path(path).is_relative_to(data.path)
        if on_claim and Path(path).is_absolute():
            continue
        remedy = f"put it on a volume claim at {data.path}, --data-claim" if key != "data.path" else "use --data-claim"
        if Path(path).is_absolute():
            yield f"params.yaml: {key}: {path}: no task will see it; {remedy}, or move it into the project"
        elif not place.exists():
            yield f"params.yaml: {key}: {path}: it is not in the project, so the image has none; put it there"
        elif not place.resolve().is_relative_to(root.resolve()):
            yield f"params.yaml: {key}: {path}: it lies outside the project, so the image has none; move it there"
        elif ignored.match_file(path):
            yield f"params.yaml: {key}: {path}: .dockerignore leaves it out of the image; remove that line"


def _ignored(root: Path) -> GitIgnoreSpec:
    """Return what .dockerignore leaves out: its patterns are Git's, but all of them start at the root."""
    file = root / ".dockerignore"
    lines: Sequence[str] = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    stripped = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return GitIgnoreSpec.from_lines(
        "!/" + line[1:].lstrip("/") if line.startswith("!") else "/" + line.lstrip("/") for line in stripped
    )
