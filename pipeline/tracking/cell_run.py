"""One cell's run in MLflow: all of its files, logged into the training's own run or into a new one."""

import json
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


def log_cell(record: Record, begun: Sequence[str], store: Store, root: Path, around: Mapping[str, str]) -> None:
    """Log all of a cell's files into one run.

    The run is the first one of `begun` that agrees with the files, or else a new one. It gets the tags `around`, and
    the start and end of the training. It is marked as complete last, so that an interrupted logging can be recognised.
    """
    import mlflow
    from mlflow.entities import Metric, RunTag

    # Go on in a run that was begun, if its content agrees with the record. Otherwise make a run.
    client, (start, end) = store.client, record.span
    tags = {**around, **_tags(record)}
    for run_id in begun:
        if (logged := _logged_points(record, run_id, store)) is not None:
            client.log_batch(run_id, tags=[RunTag(*tag) for tag in tags.items()])
            break
    else:
        run_id, logged = client.create_run(store.experiment_id, start, tags, record.cell).info.run_id, set()

    # Log the parameters, and of the curves what the run does not hold yet. MLflow shows the last point of a curve, so a
    # single value must not have a curve's name.
    columns = {name for name, _ in record.curves}
    summary = {name: record.summary[name] for name in _SUMMARY_METRICS if name in record.summary}
    values = {
        name: round(float(value), _DIGITS)
        for name, value in {**summary, **record.metrics}.items()
        if name not in columns and value is not None
    }
    points = {(name, 0): value for name, value in values.items() if name not in record.metrics}
    points |= {at: value for at, value in record.curves.items() if at not in logged}
    curves = [Metric(name, value, end, epoch) for (name, epoch), value in points.items()]
    log_in_batches(client, run_id, record.params, curves)
    # Log the data sets and the files.
    data_sets = _data_sets(record, root)
    client.log_inputs(run_id, data_sets)
    artifacts = {**record.artifacts, "environment": [root / name for name in _ENVIRONMENT if (root / name).is_file()]}
    for folder, paths in artifacts.items():
        for path in paths:
            client.log_artifact(run_id, str(path), folder)
    # The pictures have the same keys in every run, so that MLflow's chart view shows them side by side.
    for number, path in enumerate(record.views, 1):
        client.log_image(run_id, mlflow.Image(str(path)), key=f"test photograph {number}", step=0, timestamp=end)
    with mlflow.start_run(run_id=run_id):  # `log_model` logs into the active run
        from pipeline.tracking.packaged_model import log_model

        model_id = log_model(record.checkpoint, **record.evaluated)
    # Log the scores after the model: MLflow ties a metric to a data set only if it is a model's.
    tested = data_sets[-1].dataset
    of = {"model_id": model_id, "dataset_name": tested.name, "dataset_digest": tested.digest}
    scores = [Metric(name, value, end, 0, **of) for name, value in values.items() if name in record.metrics]
    log_in_batches(client, run_id, metrics=scores)
    client.set_terminated(run_id, "FINISHED", end)  # again, since `start_run` has set the current time
    client.set_tag(run_id, COMPLETE_TAG, "true")


def _logged_points(record: Record, run_id: str, store: Store) -> set[tuple[str, int]] | None:
    """Return the points (metric, epoch) that a live run holds, or None if it disagrees with the files."""
    run = store.client.get_run(run_id)
    points = [
        ((name, point.step), point.value)
        for name in run.data.metrics
        for point in store.client.get_metric_history(run_id, name)
    ]
    columns = {name for name, _ in record.history}
    curves = [(at, value) for at, value in points if at[0] in columns]
    agrees = all(record.params.get(name, value) == value for name, value in run.data.params.items())
    agrees &= {*curves} <= record.history.items() and len({*curves}) == len(curves)  # none was logged twice
    return {at for at, _ in points} if agrees else None


def _tags(record: Record) -> dict[str, str]:
    return {
        FINGERPRINT_TAG: record.fingerprint,
        CELL_TAG: record.cell,
        KEY_TAG: record.key,
        MODEL_TAG: record.model,
        **{name: record.summary[name] for name in ("backbone", "head", "recipe")},
        "data_sha256": record.summary.get("data_sha256", ""),
    }


def _data_sets(record: Record, root: Path) -> list["DatasetInput"]:
    """Return two data sets, the images of training and validation and the test images, with their counts by class."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    images = read_json(root / MANIFEST)["images"] if (root / MANIFEST).is_file() else []
    counts: dict[str, Counter[str]] = {}  # by split and class
    for image in images:
        counts.setdefault(image["split"], Counter())[image["label"]] += 1
    tests = {"test": counts.pop("test")} if "test" in counts else {}

    def data_set(name: str, sha256: str, context: str, by_split: Mapping[str, Counter[str]]) -> "DatasetInput":
        profile = {"images": sum(by_class.total() for by_class in by_split.values()), "per_class": by_split}
        dataset = Dataset(
            name=name,
            digest=sha256[:32],  # MLflow keeps 36 characters
            source_type="local",
            source=json.dumps({"uri": MANIFEST.as_posix()}),
            profile=json.dumps(profile),
        )
        return DatasetInput(dataset, [InputTag("mlflow.data.context", context)])

    return [
        data_set("images", str(record.summary.get("data_sha256", "")), "training", counts),
        data_set("test images", record.test_sha256, "testing", tests),
    ]
