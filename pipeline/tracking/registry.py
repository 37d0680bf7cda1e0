"""The registered model: its champion, and any version or checkpoint loaded for prediction."""

import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acol.errors import InputError
from pipeline.places import read_json
from pipeline.tracking.record import arguments_of, how_evaluated
from pipeline.tracking.store import failures, open_existing, store_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

    from acol.prediction.predictor import Predictor  # imports torch, which takes seconds

CHAMPION = "champion"  # the alias that users load
SCHEME = "models:/"
# On a version: the gate's latest decision on it, and why it was taken back, as JSON; a single tag is always complete.
DECISION_TAG, TAKEN_BACK_TAG = "gate", "taken_back"
CARD, CARD_TAG = "card.json", "acol.card"  # the card among a model's files, and its digest, on the version


def champion(client: "MlflowClient", name: str) -> "ModelVersion | None":
    """Return the version of the registered model `name` that is its champion, if there is one."""
    for model in client.search_registered_models(f"name = '{name}'"):
        if CHAMPION in model.aliases:
            return client.get_model_version(name, model.aliases[CHAMPION])
    return None


def decision_on(version: "ModelVersion") -> dict[str, Any]:
    """Return the gate's decision on a version; empty for one that it did not register."""
    return dict(json.loads(version.tags.get(DECISION_TAG, "{}")))


def pinned(model: str, root: Path) -> str:
    """Return the version that an alias names now, such as "models:/acol/3"; a version and a checkpoint stay.

    A folder stands for the one best.pt in it. Raises as `load_predictor` does.
    """
    if not model.startswith(SCHEME) and Path(model).is_dir():
        patterns = ("best.pt", "*/best.pt", "models/*/best.pt")  # of a cell, of models/, of a project or one-off/
        found = next(filter(None, ([*map(str, sorted(Path(model).glob(pattern)))] for pattern in patterns)), [])
        if len(found) == 1:
            return found[0]
        which = f"name one of {', '.join(found[:5])}" if found else "it holds no best.pt; name a checkpoint"
        raise InputError(f"{model}: a folder; {which}")
    if not (named := re.fullmatch(SCHEME + "([^/@]+)@([^/@]+)", model)):
        return model
    client, (name, alias) = open_existing(root), named.groups()
    with failures(store_uri(root)), _missing(model):
        return f"{SCHEME}{name}/{client.get_model_version_by_alias(name, alias).version}"


def load_predictor(model: str, root: Path, device: str = "cpu", map_name: str | None = None) -> "Predictor":
    """Load a model ready to predict, with the box threshold, scales, calibration and map of its evaluation.

    `model` is a registered one in the store of the project in `root`, such as "models:/acol@champion", or the path of
    a checkpoint, or of a folder with one best.pt in it. A checkpoint without its results in the same project has the
    defaults of `Predictor.load`. `map_name` is another map of `acol.localization.evidence.MAPS`.

    Raises `InputError` for a model that does not exist or cannot be used, and `StoreError` if MLflow cannot be reached.
    """
    with tempfile.TemporaryDirectory(prefix="acol-") as folder:
        if model.startswith(SCHEME):
            checkpoint, evaluated = packaged_in(download(model, root, folder), model)
        else:
            checkpoint = Path(pinned(model, root))
            cell = checkpoint.absolute().parent  # models/CELL
            details = cell.parent.parent / "results" / cell.name / "details.json"
            evaluated = how_evaluated(details) if details.is_file() else {}
        if map_name is not None:
            evaluated["map_name"] = map_name
        from acol.prediction.predictor import Predictor

        return Predictor.load(checkpoint, device=device, **evaluated)


def download(model: str, root: Path, folder: str) -> Path:
    """Return the folder with the files of a registered model, downloaded into `folder`."""
    if not re.fullmatch(SCHEME + "[^/@]+([/@][^/@]+)?", model):
        raise InputError(f"{model}: not a registered model; write {SCHEME}NAME@ALIAS or {SCHEME}NAME/VERSION")
    open_existing(root)
    from mlflow.artifacts import download_artifacts

    with failures(store_uri(root)), _missing(model):
        if is_lost(model):
            raise InputError(f"{model}: MLflow has it, but its files are gone; run `dvc repro` and `make gate`")
        return Path(download_artifacts(artifact_uri=model, dst_path=folder))


def packaged_in(local: Path, model: str) -> tuple[Path, dict[str, Any]]:
    """Return the checkpoint of a downloaded model, and how it was evaluated: the arguments of `Predictor.load`."""
    from mlflow.models import Model

    packaged = Model.load(local).flavors.get("python_function", {})
    try:
        return local / packaged["artifacts"]["checkpoint"]["path"], arguments_of(packaged["config"])
    except (KeyError, TypeError):
        raise InputError(f"{model}: not a model of this project; name one that the gate registered") from None


def card_in(local: Path, model: str) -> dict[str, Any]:
    """Return the card among the files of a downloaded model."""
    if not (local / CARD).is_file():
        raise InputError(f"{model}: has no card; the gate gives one to each version that it registers")
    return read_json(local / CARD)


def version_of(model: str, root: Path) -> "ModelVersion":
    """Return the version that a registered model such as "models:/acol/3" is. Raises as `load_predictor` does."""
    client, (name, number) = open_existing(root), model.removeprefix(SCHEME).split("/")
    with failures(store_uri(root)), _missing(model):
        return client.get_model_version(name, number)


def is_lost(model: str) -> bool:
    """Whether the files of a registered or logged model are gone, in the store that was opened last."""
    from mlflow.artifacts import list_artifacts

    return "MLmodel" not in {file.path for file in list_artifacts(artifact_uri=model)}


@contextmanager
def _missing(model: str) -> Iterator[None]:
    """Turn MLflow's error for an unknown `model` into an `InputError`."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        raise InputError(f"{model}: no such model; correct the name, or run `make gate` first") from None
