"""The trials as runs of an MLflow experiment of their own; the files are the truth, as for the cells."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pipeline.params import Params
from pipeline.search.trials import Trial
from pipeline.tracking.store import failures, log_in_batches, open_store, store_uri

_TAG = "trial"  # a digest of the trial's file: a run that has it shows that trial


def show(trials: Sequence[Trial], root: Path, params: Params) -> None:
    """Make a finished run for each trial that has none. Raises `StoreError` if MLflow cannot be reached."""
    store = open_store(root, f"{params.tracking.experiment}-search")
    with failures(store_uri(root)):
        from mlflow.entities import Metric

        shown = {run.data.tags.get(_TAG) for run in store.client.search_runs([store.experiment_id], max_results=50_000)}
        for trial in trials:
            digest = hashlib.sha256(json.dumps(asdict(trial), sort_keys=True).encode()).hexdigest()
            if trial.scores is None or digest in shown:
                continue
            run = store.client.create_run(store.experiment_id, run_name=trial.draw.name)
            values = {"head": str(trial.draw.head), "recipe": trial.draw.recipe, **trial.draw.values}
            metrics = {f"val_{name}": score for name, score in trial.scores.items()} | {"seconds": trial.seconds or 0.0}
            points = [Metric(name, value, run.info.start_time, 0) for name, value in metrics.items()]
            log_in_batches(store.client, run.info.run_id, values, points)
            # Last, so that a run that was interrupted is made again.
            store.client.set_tag(run.info.run_id, _TAG, digest)
            store.client.set_terminated(run.info.run_id)
