"""gate: registers the best cell, and makes it the champion only if it beats the current one.

    python -m pipeline.gate

registers the run of the best cell (report/best.json, report/runs.json) as a version of the MLflow model that the
section `gate` of params.yaml names. The alias `champion` moves to that version only if its score on the same test
images is better, with the confidence that `gate` demands. The decision is printed, and stored on the version and in
report/gate.json. Exit status: 0 if the version was promoted or is already the champion, 3 if the old champion was kept.

Three atomic calls change the registry: they make the model's name, the version with its decision, and the alias. So
users of the alias see either the old champion or the new one. If the command is killed, the next call finishes it.
"""

import json
import math
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from acol.errors import InputError
from acol.files import atomic_write
from acol.metrics.comparison import compare
from acol.metrics.scored import Score
from pipeline import cli
from pipeline.params import Params, load_params
from pipeline.places import read_json
from pipeline.report.differences import scores_of
from pipeline.report.metrics import COMPARED, METRICS, about
from pipeline.results import read_images, read_iou_curves
from pipeline.track import RUNS
from pipeline.tracking.card import card_markdown, make_card
from pipeline.tracking.record import Record, read_record
from pipeline.tracking.registry import (
    CARD,
    CARD_TAG,
    CHAMPION,
    DECISION_TAG,
    SCHEME,
    TAKEN_BACK_TAG,
    champion_version,
    is_lost,
)
from pipeline.tracking.runs import CELL_TAG, COMPLETE_TAG, FINGERPRINT_TAG, MODEL_TAG
from pipeline.tracking.store import StoreError, failures, open_existing, store_lock, store_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

KEPT = 3  # exit status: the old champion stays
BEST, OUTCOME = Path("report/best.json"), Path("report/gate.json")
ORIGIN = ("pretrained", "pretrained.licence")  # params of a run: the source and licence of its pretrained weights
ABOUT = """\
Says what is in a photograph, and where: the class, its probability, a box and a localization map, learnt from
image-level labels (Adversarial Complementary Learning, Zhang et al. 2018). Each version is the best cell of a grid; its
description is its card: data, scores, where it fails, licence. Its tag `gate` says why it was promoted or not. Load the
version in use as `models:/NAME@champion`."""
COLUMNS = {"path", "correct", "iou"}  # columns of images.csv that scores need


@dataclass(frozen=True)
class Decision:
    """The decision on the best cell, and the reason. Numbers are None if the cell could not be compared.

    `against` is the version that was the champion. `difference` is the cell's score minus the champion's, with its
    interval [`low`, `high`] and the two-sided p-value over the test images. The decision is about the version `version`
    of the registered model `model`; `champion` is the version that is the champion now.
    """

    decision: Literal["promoted", "kept", "unchanged"]
    reason: str
    cell: str
    run_id: str
    metric: str
    confidence: float
    min_gain: float
    value: float | None = None
    against: int | None = None
    against_value: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    model: str = ""
    version: int | None = None
    champion: int | None = None

    @property
    def tag(self) -> str:
        """The decision as JSON for a tag of the version, without what may change later or stands there anyway."""
        stored = {name: value for name, value in asdict(self).items() if name not in ("model", "version", "champion")}
        return json.dumps(stored)

    def line(self) -> str:
        """Return the decision in one line."""
        return f"{self.decision}: {self.cell}, version {self.version} of {self.model}: {self.reason}"


# --- the rule ----------------------------------------------------------------------------------------------------


def read_scores(folder: Path, metric: str) -> tuple[Score, tuple[str, Sequence[str]]]:
    """Read from a folder of `evaluate` the score of a model, and the digest and the paths of its test images.

    Raises `InputError` if the metric is missing or not a number, if the images give another score than metrics.json,
    and if a file is missing, is broken or does not name its test data.
    """
    metrics = read_json(folder / "metrics.json")
    value = metrics.get(metric)
    if not isinstance(value, int | float) or not math.isfinite(value):
        problem = "missing" if value is None else value
        measured = [name for name in COMPARED if isinstance(metrics.get(name), int | float) and name != metric]
        remedy = f"set gate.metric: {measured[0]}" if measured else "evaluate it again"
        raise InputError(f"its {metric} is {problem}; {remedy}")
    # The test data, by which it is known whether two models can be compared.
    test_sha256 = read_json(folder / "details.json").get("test_sha256")
    if not isinstance(test_sha256, str):
        raise InputError("its details.json does not name the test data; evaluate it again")
    images = read_images(folder / "images.csv")
    if lacking := sorted(COLUMNS - {*images.columns}):
        raise InputError(f"its images.csv has no column {lacking[0]}; evaluate it again")
    # The score of each image, which the comparison needs. It must be the same score.
    score = scores_of(images, read_iou_curves(folder / "maps.npz", images)).get(metric)
    if score is None or not math.isclose(score.value, value, abs_tol=1e-6):
        values = f"{value} in metrics.json, but {score and score.value} over the images"
        raise InputError(f"its {metric} is {values}; evaluate it again")
    return score, (test_sha256, list(images["path"]))


def compare_scores(decision: Decision, mine: Score, theirs: Score, cells: int) -> Decision:
    """Complete a decision: promote if `mine`, the score of the best of `cells`, is clearly above the champion's score.

    The whole interval of the difference must be above `min_gain`. The best of k equally good cells is above the
    champion by chance k times as often as one of them. So the interval's level is 1 - (1 - `confidence`) / k.
    """
    result = compare([mine], [theirs], 1 - (1 - decision.confidence) / cells)
    better = result.low > decision.min_gain
    metric = about(decision.metric)
    reason = (
        f"{metric.title} {metric.with_unit(mine.value)}, version {decision.against} has "
        f"{metric.with_unit(theirs.value)}; the difference of {100 * result.difference:.1f} points "
        f"[{100 * result.low:.1f}, {100 * result.high:.1f}] is {'' if better else 'not '}clearly above "
        f"{100 * decision.min_gain:g} points "
        f"(confidence {decision.confidence:g}{f' for the best of {cells} cells' if cells > 1 else ''}, "
        f"p {result.p:.2g})"
    )
    numbers = {name: getattr(result, name) for name in ("difference", "low", "high", "p")}
    outcome: Literal["promoted", "kept"] = "promoted" if better else "kept"
    return replace(decision, decision=outcome, reason=reason, against_value=theirs.value, **numbers)


def refuse_unbeaten(below: Sequence[Mapping[str, Any]], judged_by: str, accepted: Sequence[str]) -> None:
    """Raise `InputError` if the score of a cell is not above the baselines that it must beat.

    `below` are the rows of best.json on baselines that the cell does not significantly beat, `judged_by` is the gate's
    metric, and `accepted` are the keys of baselines that it need not beat.
    """
    metrics = METRICS[judged_by].beats or (judged_by,)
    rows = [row for row in below if row["metric"] in metrics and row["baseline"] not in accepted]
    reasons, names = [], set()
    for row in (row for row in rows if row["value"] <= row["baseline_value"]):
        metric = about(row["metric"])
        mine, theirs = metric.with_unit(row["value"]), metric.with_unit(row["baseline_value"])
        reasons.append(f"{metric.title} {mine} is not above the {row['title']}'s {theirs}")
        names.add(str(row["baseline"]))
    if reasons:
        accept = f"to accept that, set gate.accept_below: [{', '.join(sorted(names))}]"
        raise InputError("; ".join([*reasons, accept]))


# --- the registry ------------------------------------------------------------------------------------------------


def gate(root: Path, params: Params) -> Decision:
    """Register the best cell of the project in `root`, and promote it if it beats the champion.

    Raises `InputError` if the cell, its files and its run do not match, and `StoreError` if MLflow cannot be reached.
    The registry is then unchanged.
    """
    # The best cell, its files and its run must be of the same state of the project.
    best = read_json(root / BEST)
    cell = best.get("cell")
    if not isinstance(cell, str):
        raise InputError(f"{BEST}: there is no best cell ({best.get('rule')}); correct compare.best_by")
    run_id, record = read_json(root / RUNS).get(cell), read_record(root, cell)
    if not isinstance(run_id, str) or record is None:
        place = RUNS if record else root / "results" / cell
        raise InputError(f"{place}: {cell} is not complete; run `dvc repro` again")
    client, name = open_existing(root), params.gate.model
    with failures(store_uri(root)), store_lock(root):
        run = _find_run(client, run_id)
        tags = {} if run is None else run.data.tags
        if run is None or not tags.get(COMPLETE_TAG) or tags.get(FINGERPRINT_TAG) != record.fingerprint:
            raise InputError(f"{RUNS}: the run of {cell} does not match its files; run `dvc repro` again")
        # Decide, and register the version with the decision before the alias moves.
        current = champion_version(client, name)
        decision = replace(_decide(client, cell, run, current, params, best), model=name)
        if decision.decision == "unchanged":
            return replace(decision, version=decision.against, champion=decision.against)
        version = _register(client, run, decision, record, root)
        promoted = decision.decision == "promoted"
        if promoted:
            client.set_registered_model_alias(name, CHAMPION, str(version))
        return replace(decision, version=version, champion=version if promoted else decision.against)


def _decide(
    client: "MlflowClient",
    cell: str,
    run: "Run",
    current: "ModelVersion | None",
    params: Params,
    best: Mapping[str, Any],
) -> Decision:
    """Decide whether the run of the best cell becomes the champion in the place of the version `current`."""
    rule = params.gate
    against = None if current is None else int(current.version)
    metric = rule.metric if best.get("boxes", True) else "accuracy_top1"
    decision = Decision("kept", "", cell, run.info.run_id, metric, rule.confidence, rule.min_gain, against=against)
    theirs = _find_run(client, current.run_id) if current is not None else None
    lost = current is not None and is_lost(f"{SCHEME}{current.name}/{current.version}")
    if not lost and theirs is not None and theirs.data.tags.get(MODEL_TAG) == run.data.tags[MODEL_TAG]:
        return replace(decision, decision="unchanged", reason="it is already the champion")
    # Any reason to keep the champion is raised as an `InputError`.
    champions = ""  # begins a reason that concerns the champion
    try:
        _refuse_taken_back(client, rule.model, run.data.tags[MODEL_TAG])
        mine, tested = _scores(client, run, metric)
        decision = replace(decision, value=mine.value)
        refuse_unbeaten(best.get("below", ()), metric, rule.accept_below)
        if against is None or lost:
            why = f"the files of version {against} are gone, and this one has" if lost else "the first version, with"
            reason = f"{why} {about(metric).title} {about(metric).with_unit(mine.value)}"
            return replace(decision, decision="promoted", reason=reason)
        champions = f"the champion, version {against}, cannot be compared: "
        other, tested_too = _scores(client, theirs, metric)
    except InputError as error:
        return replace(decision, reason=f"{champions}{error}")
    if tested != tested_too:
        return replace(decision, reason=f"version {against} was tested on other data than this one")
    return compare_scores(decision, mine, other, best.get("of", 1))


def _refuse_taken_back(client: "MlflowClient", name: str, model: str) -> None:
    """Raise `InputError` if a version with the same digest `model` was the champion and was taken back."""
    for version in client.search_model_versions(f"name = '{name}'"):
        if TAKEN_BACK_TAG in version.tags and version.tags.get(MODEL_TAG) == model:
            why = json.loads(version.tags[TAKEN_BACK_TAG])["why"]
            remedy = f"to try it again, delete the tag {TAKEN_BACK_TAG} of version {version.version}"
            raise InputError(f"this model was taken back: {why}; {remedy}")


def _scores(client: "MlflowClient", run: "Run | None", metric: str) -> tuple[Score, tuple[str, Sequence[str]]]:
    """Do what `read_scores` does with the results that a run holds."""
    if run is None or not client.list_artifacts(run.info.run_id, "results"):
        raise InputError("its run or the run's results are missing")
    with tempfile.TemporaryDirectory(prefix="acol-") as folder:
        results = Path(client.download_artifacts(run.info.run_id, "results", folder))
        try:
            return read_scores(results, metric)
        except InputError as error:
            raise InputError(str(error).replace(f"{results}/", "")) from None


def _find_run(client: "MlflowClient", run_id: str | None) -> "Run | None":
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(run_id) if run_id else None
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None


def _register(client: "MlflowClient", run: "Run", decision: Decision, record: Record, root: Path) -> int:
    """Return the version of a run, with the decision as its tag. Make the model, its card and the version if needed."""
    name, run_id = decision.model, run.info.run_id
    for version in client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'"):
        if version.tags.get(DECISION_TAG) != decision.tag:
            client.set_model_version_tag(name, version.version, DECISION_TAG, decision.tag)
        return int(version.version)
    # The card must be among the model's files before the version is made of them.
    models = run.outputs.model_outputs if run.outputs else []
    if not models:
        raise InputError(f"{RUNS}: the run of {decision.cell} holds no model; delete it and run `dvc repro` again")
    model_id, card = models[0].model_id, make_card(root, record)
    with tempfile.TemporaryDirectory(prefix="acol-") as folder:
        (Path(folder) / CARD).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
        client.log_model_artifact(model_id, f"{folder}/{CARD}")
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name, description=ABOUT)
    tags = {param: record.params[param] for param in ORIGIN if param in record.params}
    tags |= {DECISION_TAG: decision.tag, CELL_TAG: decision.cell, MODEL_TAG: record.model, CARD_TAG: card["digest"]}
    source, text = f"{SCHEME}{model_id}", card_markdown(card)
    created = client.create_model_version(name, source, run_id, tags, description=text, model_id=model_id)
    return int(created.version)


@cli.main
def main() -> None:
    """Register the best cell, and promote it if it beats the champion."""
    cli.no_arguments("Register the best cell, and promote it if it beats the champion.")
    params = load_params()
    try:
        decision = gate(Path.cwd(), params)
    except StoreError as error:
        print(f"error: {error}; the champion is unchanged", file=sys.stderr)
        sys.exit(1)
    with atomic_write(OUTCOME) as temporary:
        temporary.write_text(json.dumps(asdict(decision), indent=2) + "\n", encoding="utf-8")
    print(decision.line())
    if decision.decision == "kept":
        sys.exit(KEPT)


if __name__ == "__main__":
    main()
