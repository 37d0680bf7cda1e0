"""The best trial of each recipe, trained anew with several seeds and scored on the test images."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from acol.data.manifest import read_manifest
from acol.files import atomic_folder, sha256
from acol.metrics.intervals import Interval
from pipeline.evaluate import Subject, outputs_of, score, write_results
from pipeline.params import Params, Search
from pipeline.places import CACHE, MANIFEST, RUNS
from pipeline.report.differences import Comparison, Scored, compare_cells, over_trainings, scores_of
from pipeline.results import read_images, read_iou_curves
from pipeline.search.trial import Trial
from pipeline.train import Job, code_of, digest, fit

CHOSEN = Path("search/chosen")


@dataclass(frozen=True)
class Final:
    """The chosen trials' scores on the test images: each mean over seeds by group and metric, and the differences."""

    means: dict[str, dict[str, Interval]]
    comparisons: Sequence[Comparison]


def best_of(trials: Sequence[Trial], search: Search) -> list[Trial]:
    """Return each recipe's trial with the best score on validation, the first of equals."""
    of_recipe = [[one for one in trials if one.recipe == recipe and one.scores] for recipe in search.recipes]
    return [max(some, key=lambda trial: trial.score(search)) for some in of_recipe if some]


def train_anew(chosen: Sequence[Trial], params: Params, search: Search) -> Final:
    """Train each chosen trial with `search.seeds` seeds, none of them the trial's, and score it on the test images.

    What is finished stays, under search/chosen/CELL, until what determines it changes; an unfinished training goes on.
    """
    backbone = search.backbone or params.grid.backbones[0]
    manifest = read_manifest(MANIFEST, params.data.root)
    plain = replace(params.evaluate, faithfulness=0)
    tests = [sha256(MANIFEST), asdict(plain), code_of("data", "localization", "metrics", "network")]
    scored = []
    for trial in chosen:
        for seed in range(params.train.seed + 1, params.train.seed + search.seeds + 1):
            cell = params.cell(backbone, str(replace(trial.head, seed=seed)))
            job = replace(trial.job(params, search, seed), cell=f"chosen-{cell.name}")

            def train(folder: Path, job: Job = job) -> None:
                fit(job, folder / "model", folder / "timing.csv", RUNS, CACHE)

            def evaluate(folder: Path, job: Job = job, trained: Path = CHOSEN / cell.name / "trained") -> None:
                subject = Subject.load(trained / "model" / "best.pt", manifest, CACHE, job.device)
                outputs = outputs_of(subject, plain)
                write_results(score(subject, plain, outputs), outputs["test"], folder)

            key = digest([job.content(), params.train.device, params.train.precision])
            made(CHOSEN / cell.name / "trained", key, train)
            results = made(CHOSEN / cell.name / "results", digest([key, tests]), evaluate)
            images = read_images(results / "images.csv")
            scored.append(Scored(cell, scores_of(images, read_iou_curves(results / "maps.npz", images))))
    means = over_trainings(scored)
    metric = search.metric if search.metric == "max_box_acc_v2" else "accuracy_top1"
    ranked = sorted(means, key=lambda group: means[group][metric].value if metric in means[group] else 0.0)
    best = ranked[-1] if ranked else None
    return Final(means, compare_cells(scored, best, []))


def made(folder: Path, key: str, make: Callable[[Path], None]) -> Path:
    """Return `folder`, made anew by `make` unless it is there and was made with the same key."""
    note = folder / "key"
    if not note.exists() or note.read_text(encoding="utf-8") != key:
        with atomic_folder(folder) as temporary:
            make(temporary)
            (temporary / note.name).write_text(key, encoding="utf-8")
    return folder
