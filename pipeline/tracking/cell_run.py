"""One cell's run in MLflow: all of its files, logged into the training's own run or into a new one."""

import json
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.places import MANIFEST, read_json
from pipeline.tracking.record import Record
from pipeline.tracking.runs import CELL_TAG, COMPLETE_TAG, FINGERPRINT_TAG, KEY_TAG, MODEL_TAG
from pipeline.tracking.store import Store, log_in_batches

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

_SUMMARY_METRICS = ("best_epoch", "epochs_run", "best_val_accuracy", "best_val_loss")
_DIGITS = 4  # of a score: the UI's columns show all digits
_ENVIRONMENT = ("params.yaml", "dvc.lock", "requirements.lock")


def log_cell(record: Record, begun: Sequence[str], store: Store, root: Path, around: Mapping[str, str]) -> str:
    """Log all of a cell's files into one run and return its id.

    The run is the first of `begun` that agrees with the files, else a new one. `around` are more tags of it. Its start
    and end are those of the training. It is marked as complete last, so that an interrupted logging can be recognised.
    """
    import mlflow
    from mlflow.entities import Metric, RunTag

    # Go on in a run that was begun, if what it holds agrees with the record; else make one.
    client, (start, end) = store.client, record.span(time.time())
    tags = {**around, **_tags(record)}
    for run_id in begun:
        held = _held(record, run_id, store)
        if held is not None:
            params, curve = held
            client.log_batch(run_id, tags=[RunTag(*tag) for tag in tags.items()])
            break
    else:
        run = client.create_run(store.experiment_id, start, tags, record.cell)
        run_id, params, curve = run.info.run_id, set(), set()

    # Parameters and curves, without what the run holds already. A curve's name is no headline: its last point counts.
    columns = {name for name, _ in record.curves}
    summary = {name: record.summary[name] for name in _SUMMARY_METRICS if name in record.summary}
    headline = {
        name: round(float(value), _DIGITS)
        for name, value in {**summary, **record.metrics}.items()
        if name not in columns and value is not None
    }
    points = {(name, 0): value for name, value in headline.items() if name not in record.metrics}
    points |= {at: value for at, value in record.curves.items() if at not in curve}
    log_in_batches(
        client,
        run_id,
        {name: value for name, value in record.params.items() if name not in params},
        [Metric(name, value, end, epoch) for (name, epoch), value in points.items()],
    )
    # The images and the files.
    data_sets = _data_sets(record, root)
    client.log_inputs(run_id, data_sets)
    artifacts = {**record.artifacts, "environment": [root / name for name in _ENVIRONMENT if (root / name).is_file()]}
    for folder, paths in artifacts.items():
        for path in paths:
            client.log_artifact(run_id, str(path), folder)
    # By the same key in every run, MLflow's chart view shows them side by side.
    for number, path in enumerate(record.views, 1):
        client.log_image(run_id, mlflow.Image(str(path)), key=f"test photograph {number}", step=0, timestamp=end)
    with mlflow.start_run(run_id=run_id):  # the only way to tell `log_model` the run
        from pipeline.tracking.packaged_model import log_model

        model_id = log_model(record.checkpoint, **record.evaluated)
    # The scores last, since MLflow ties metrics to data for models only: they are this model's on the test images.
    tested = data_sets[-1].dataset
    of = {"model_id": model_id, "dataset_name": tested.name, "dataset_digest": tested.digest}
    scores = [Metric(name, value, end, 0, **of) for name, value in headline.items() if name in record.metrics]
    log_in_batches(client, run_id, metrics=scores)
    # Only a run that is complete counts as one: this tag is written last.
    client.set_terminated(run_id, "FINISHED", end)  # since `start_run` has set the current time
    client.set_tag(run_id, COMPLETE_TAG, "true")
    return str(run_id)


def _held(record: Record, run_id: str, store: Store) -> tuple[set[str], set[tuple[str, int]]] | None:
    """Return the params and (metric, epoch) that a live run holds, or None if it disagrees with the files."""
    run = store.client.get_run(run_id)
    params = record.params
    if any(params.get(name, value) != value for name, value in run.data.params.items()):
        return None
    columns = {name for name, _ in record.history}
    seen: set[tuple[str, int]] = set()
    for name in run.data.metrics:
        for point in store.client.get_metric_history(run_id, name):
            at = (name, point.step)
            if at in seen:
                return None
            if name in columns and (at not in record.history or not _same(point.value, record.history[at])):
                return None
            seen.add(at)
    return set(run.data.params), seen


def _same(logged: float, wanted: float) -> bool:
    if math.isnan(wanted) or abs(wanted) > 1e308:  # an infinity comes back as the largest double
        return math.isnan(logged) == math.isnan(wanted) and not abs(logged) <= 1e308
    return math.isclose(logged, wanted, rel_tol=1e-3, abs_tol=1e-6)


def _tags(record: Record) -> dict[str, str]:
    tags = {
        FINGERPRINT_TAG: record.fingerprint,
        CELL_TAG: record.cell,
        MODEL_TAG: record.model,
        **{name: record.summary[name] for name in ("backbone", "head", "recipe")},
        "data_sha256": record.summary.get("data_sha256", ""),
    }
    return tags if record.key is None else {**tags, KEY_TAG: record.key}


def _data_sets(record: Record, root: Path) -> list["DatasetInput"]:
    """Return the images of training and validation, and those of the test, with their numbers by class."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    images = read_json(root / MANIFEST)["images"] if (root / MANIFEST).is_file() else []
    counts: dict[str, Counter[str]] = {}
    for image in images:
        counts.setdefault(image["split"], Counter())[image["label"]] += 1
    tests = {"test": counts.pop("test")} if "test" in counts else {}

    def data_set(name: str, sha256: str, context: str, counted: Mapping[str, Counter[str]]) -> "DatasetInput":
        profile = {"images": sum(its.total() for its in counted.values()), "per_class": counted}
        made = Dataset(
            name=name,
            digest=sha256[:32],  # MLflow keeps 36 characters
            source_type="local",
            source=json.dumps({"uri": MANIFEST.as_posix()}),
            profile=json.dumps(profile),
        )
        return DatasetInput(made, [InputTag("mlflow.data.context", context)])

    return [
        data_set("images", str(record.summary.get("data_sha256", "")), "training", counts),
        data_set("test images", record.test_sha256, "testing", tests),
    ]
