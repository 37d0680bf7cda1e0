"""Writes the results of a search: a table of all trials, and a page with a picture and the chosen settings."""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean

import pandas as pd
from matplotlib.figure import Figure

from acol.figures.text import DPI, SERIES, house_style, write_png
from acol.files import atomic_write
from acol.metrics.intervals import Interval
from pipeline.params import Search
from pipeline.report.differences import Groups, compare_cells, over_trainings
from pipeline.report.metrics import about
from pipeline.report.templates import render, signed, sparse_table
from pipeline.search.trial import Trial

FOLDER = Path("search")
RATES = ("lr", "classifier_lr", "weight_decay")


def write_summary(trials: Sequence[Trial], chosen: Sequence[Trial], tested: Groups, search: Search) -> None:
    """Write search/trials.csv, search.png and README.md."""
    rows = [
        {"trial": t.name, "head": str(t.head), **t.values, **(t.scores or {}), "seconds": t.seconds} for t in trials
    ]
    with atomic_write(FOLDER / "trials.csv") as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False, lineterminator="\n")
    write_png(picture(trials, search), FOLDER / "search.png")
    with atomic_write(FOLDER / "README.md") as temporary:
        temporary.write_text(page(trials, chosen, tested, search) + "\n", encoding="utf-8")


def picture(trials: Sequence[Trial], search: Search) -> Figure:
    """Draw the score against the first delta with all draws, and the best score against the number of draws."""
    with house_style():
        figure = Figure(figsize=(8.6, 3.2), dpi=DPI, layout="constrained")
        by_delta, by_number = figure.subplots(1, 2, sharey=True)
        for recipe, colour in zip(search.recipes, SERIES, strict=False):
            trained = [trial for trial in trials if trial.recipe == recipe and trial.scores]
            scores = [100 * trial.score(search) for trial in trained]
            if deltas := [trial.values["delta_1"] for trial in trained if "delta_1" in trial.values]:
                by_delta.plot(deltas, scores, "o", color=colour, label=recipe, markeredgecolor="white")
            else:  # the recipe erases nothing
                for score in scores:
                    by_delta.axhline(score, color=colour, linewidth=0.8, alpha=0.5)
            best = pd.Series(scores).cummax()
            by_number.step(range(1, len(best) + 1), best, where="post", color=colour, label=recipe)
        by_delta.set_xlabel("first delta (lines: a recipe without delta)")
        by_delta.set_ylabel(f"{_title(search)} on validation, %")
        by_number.set_xlabel("draws: the best so far")
        by_number.xaxis.get_major_locator().set_params(integer=True)
        by_number.legend(fontsize=8)
    return figure


def page(trials: Sequence[Trial], chosen: Sequence[Trial], tested: Groups, search: Search) -> str:
    """Return the page as Markdown."""
    # The scores on the test images: means over the seeds, with intervals if there are several seeds.
    intervals = over_trainings(tested)
    rows: dict[str, dict[str, str]] = {}
    means: dict[str, dict[str, float]] = {}
    for group, by_seed in tested.items():
        scores = next(iter(by_seed.values()))
        means[group] = {metric: mean(of_seed[metric].value for of_seed in by_seed.values()) for metric in scores}
        rows[f"`{group}`"] = {
            about(metric).title: _with_interval(metric, value, intervals.get(group, {}).get(metric))
            for metric, value in means[group].items()
        }
    # The best of the chosen is compared with the others.
    metric = search.metric if search.metric in next(iter(means.values()), {}) else "accuracy_top1"
    best = max(means, key=lambda group: means[group][metric], default=None)
    return render(
        Path(__file__).with_name("README.md.jinja"),
        search=search,
        title=_title(search),
        rates=RATES,
        trials=trials,
        minutes=sum(trial.seconds or 0 for trial in trials) / 60,
        chosen=chosen,
        scores=rows and sparse_table("Cell", rows),
        differences=compare_cells(tested, best, []),
        about=about,
        signed=signed,
    )


def _with_interval(metric: str, value: float, interval: Interval | None) -> str:
    text = about(metric).text
    return text(value) + (f" [{text(interval.low)}, {text(interval.high)}]" if interval else "")


def _title(search: Search) -> str:
    return about({"accuracy": "accuracy_top1"}.get(search.metric, search.metric)).title
