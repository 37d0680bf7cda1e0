"""The registered model: its champion, and any version or checkpoint loaded for prediction."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from acol.errors import InputError
from acol.metrics.calibration import Calibration
from pipeline.tracking.locations import store_uri
from pipeline.tracking.record import box_settings
from pipeline.tracking.store import failures, open_existing

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

    from acol.prediction.predictor import Predictor  # imports torch, which takes seconds

CHAMPION = "champion"  # the alias that users load
SCHEME = "models:/"


def champion(client: "MlflowClient", name: str) -> "ModelVersion | None":
    """Return the version of the registered model `name` that is its champion, if there is one."""
    for model in client.search_registered_models(f"name = '{name}'"):
        if CHAMPION in model.aliases:
            return client.get_model_version(name, model.aliases[CHAMPION])
    return None


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

    `map_name` is another map of `acol.localization.evidence.MAPS`.

    `model` is a registered one in the store of the project in `root`, such as "models:/acol@champion", or the path of
    a checkpoint, or of a folder with one best.pt in it. A checkpoint without its results in the same project has the
    defaults of `Predictor.load`. Raises `InputError` for a model that does not exist or cannot be used, and
    `StoreError` if MLflow cannot be reached.
    """
    if model.startswith(SCHEME):
        return _load_registered(model, root, device, map_name)
    from acol.prediction.predictor import Predictor

    path = Path(pinned(model, root))
    folder = path.absolute().parent  # models/CELL
    details = folder.parent.parent / "results" / folder.name / "details.json"
    if not details.is_file():
        return Predictor.load(path, map_name=map_name or "cam", device=device)
    tau, scales, calibration, own = box_settings(details)
    return Predictor.load(
        path, tau=tau, scales=scales, calibration=calibration, map_name=map_name or own, device=device
    )


def _load_registered(model: str, root: Path, device: str, map_name: str | None) -> "Predictor":
    if not re.fullmatch(SCHEME + "[^/@]+([/@][^/@]+)?", model):
        raise InputError(f"{model}: not a registered model; write {SCHEME}NAME@ALIAS or {SCHEME}NAME/VERSION")
    open_existing(root)
    from mlflow.artifacts import download_artifacts
    from mlflow.models import Model

    with tempfile.TemporaryDirectory(prefix="acol-") as folder:
        with failures(store_uri(root)), _missing(model):
            if is_lost(model):
                raise InputError(f"{model}: MLflow has it, but its files are gone; run `dvc repro` and `make gate`")
            local = Path(download_artifacts(artifact_uri=model, dst_path=folder))
        packaged = Model.load(local).flavors.get("python_function", {})
        try:
            checkpoint, settings = packaged["artifacts"]["checkpoint"]["path"], packaged["config"]
            tau, scales = settings["tau"], settings["scales"]
            calibration = Calibration(**settings.get("calibration", {}))  # models of before have none, nor a map
            map_name = map_name or settings.get("map", "cam")
        except (KeyError, TypeError):
            raise InputError(f"{model}: not a model of this project; name one that the gate registered") from None
        from acol.prediction.predictor import Predictor

        return Predictor.load(
            local / checkpoint, tau=tau, scales=scales, calibration=calibration, map_name=map_name, device=device
        )


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
