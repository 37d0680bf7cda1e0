"""The registered model: finds its champion, and loads any version or checkpoint for prediction."""

import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acol.errors import InputError
from pipeline.places import read_json
from pipeline.tracking.record import how_evaluated, predictor_arguments
from pipeline.tracking.runs import CHECKPOINT
from pipeline.tracking.store import failures, open_existing, store_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

    from acol.prediction.predictor import Predictor  # imports torch, which takes seconds

CHAMPION = "champion"  # the alias that users load
SCHEME = "models:/"
# Tags of a version, as JSON: the gate's latest decision, and why the version was taken back. Each is one tag, so that
# a reader never sees half of it.
DECISION_TAG, TAKEN_BACK_TAG = "gate", "taken_back"
CARD, CARD_TAG = "card.json", "acol.card"  # the card's name among a model's files; the version's tag with its digest


def champion_version(client: "MlflowClient", name: str) -> "ModelVersion | None":
    """Return the version of the registered model `name` that is the champion; None if there is none."""
    for model in client.search_registered_models(f"name = '{name}'"):
        if CHAMPION in model.aliases:
            return client.get_model_version(name, model.aliases[CHAMPION])
    return None


def decision_on(version: "ModelVersion") -> dict[str, Any]:
    """Return the gate's decision on a version; empty if the gate did not register the version."""
    return dict(json.loads(version.tags.get(DECISION_TAG, "{}")))


def pin(model: str, root: Path) -> str:
    """Return a name of the same model that stays right: "models:/acol/3" for an alias that now names version 3.

    A folder becomes the path of the one best.pt in it. Versions and checkpoints are returned as they are. Raises as
    `load_predictor` does.
    """
    if not model.startswith(SCHEME) and Path(model).is_dir():
        # The folder of a cell, models/, or a project.
        for pattern in ("best.pt", "*/best.pt", "models/*/best.pt"):
            if checkpoints := sorted(map(str, Path(model).glob(pattern))):
                if len(checkpoints) == 1:
                    return checkpoints[0]
                raise InputError(f"{model}: a folder; name one of {', '.join(checkpoints[:5])}")
        raise InputError(f"{model}: a folder; it holds no best.pt; name a checkpoint")
    if not (match := re.fullmatch(SCHEME + "([^/@]+)@([^/@]+)", model)):
        return model
    client, (name, alias) = open_existing(root), match.groups()
    with failures(store_uri(root)), _unknown_model(model):
        return f"{SCHEME}{name}/{client.get_model_version_by_alias(name, alias).version}"


def load_predictor(model: str, root: Path, device: str = "cpu", map_name: str | None = None) -> "Predictor":
    """Load a model ready to predict, with the box threshold, scales, calibration and map of its evaluation.

    `model` is a registered model in the store of the project in `root`, such as "models:/acol@champion", or the path of
    a checkpoint or of a folder with one best.pt in it. A checkpoint whose results are not in the same project gets the
    defaults of `Predictor.load`. `map_name` replaces the map by another one of `acol.localization.fusion.MAPS`.

    Raises `InputError` for a model that does not exist or cannot be used, and `StoreError` if MLflow cannot be reached.
    """
    # How it was evaluated stands in the registered model, or in the results of the checkpoint's project.
    with download(model, root) if model.startswith(SCHEME) else nullcontext() as files:
        if files is not None:
            checkpoint, evaluated = read_packaged(files, model)
        else:
            checkpoint = Path(pin(model, root))
            cell = checkpoint.absolute().parent  # models/CELL
            details = cell.parent.parent / "results" / cell.name / "details.json"
            evaluated = how_evaluated(details) if details.is_file() else {}
        if map_name is not None:
            evaluated["map_name"] = map_name
        from acol.prediction.predictor import Predictor

        try:
            return Predictor.load(checkpoint, device=device, **evaluated)
        except InputError as error:
            # A downloaded checkpoint lies in a temporary folder, whose name tells nobody anything.
            raise InputError(str(error).replace(str(checkpoint), model)) from None


@contextmanager
def download(model: str, root: Path) -> Iterator[Path]:
    """Yield a temporary folder with the files of a registered model. Raises as `load_predictor` does."""
    if not re.fullmatch(SCHEME + "[^/@]+([/@][^/@]+)?", model):
        raise InputError(f"{model}: not a registered model; write {SCHEME}NAME@ALIAS or {SCHEME}NAME/VERSION")
    open_existing(root)
    from mlflow.artifacts import download_artifacts

    with tempfile.TemporaryDirectory(prefix="acol-") as folder:
        with failures(store_uri(root)), _unknown_model(model):
            if is_lost(model):
                raise InputError(f"{model}: MLflow has it, but its files are gone; run `dvc repro` and `acol gate`")
            files = Path(download_artifacts(artifact_uri=model, dst_path=folder))
        yield files


def read_packaged(files: Path, model: str) -> tuple[Path, dict[str, Any]]:
    """Return the checkpoint among a model's files, and how it was evaluated: the arguments of `Predictor.load`."""
    from mlflow.models import Model

    try:
        packaged = Model.load(files).flavors["python_function"]
        return files / packaged["artifacts"]["checkpoint"]["path"], predictor_arguments(packaged["config"])
    except (KeyError, TypeError, AttributeError):  # the last one for an empty file
        raise InputError(f"{model}: not a model of this project; name one that the gate registered") from None


def read_card(files: Path, model: str) -> dict[str, Any]:
    """Return the card among a model's files. Raises `InputError` if there is none."""
    if not (files / CARD).is_file():
        raise InputError(f"{model}: has no card; the gate gives one to each version that it registers")
    return read_json(files / CARD)


def version_of(model: str, root: Path) -> "ModelVersion":
    """Return MLflow's entry of a version such as "models:/acol/3". Raises as `load_predictor` does."""
    client, (name, _, number) = open_existing(root), model.removeprefix(SCHEME).partition("/")
    with failures(store_uri(root)), _unknown_model(model):
        return client.get_model_version(name, number)


def is_lost(model: str) -> bool:
    """Return whether files of a registered or logged model are gone from the store that was opened last."""
    from mlflow.artifacts import list_artifacts

    paths = {file.path for uri in (model, f"{model}/artifacts") for file in list_artifacts(artifact_uri=uri)}
    return not {"MLmodel", CHECKPOINT} <= paths


@contextmanager
def _unknown_model(model: str) -> Iterator[None]:
    """Turn MLflow's error for a model that it does not know into an `InputError`."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        raise InputError(
            f"{model}: no such model; correct the name, or run `acol gate`, which makes a champion or says why not"
        ) from None
