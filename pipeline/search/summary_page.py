"""What a search found, as files: a table of all trials, a page with a picture, and the grid's lines for the chosen."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from acol.figures.text import DPI, SERIES, house_style, write_png
from acol.files import atomic_write
from acol.metrics.intervals import Interval
from pipeline.params import Search
from pipeline.report.differences import Groups, compare_cells, over_trainings
from pipeline.report.metrics import about
from pipeline.report.templates import markdown_table, signed
from pipeline.search.trial import Trial

FOLDER = Path("search")
RATES = ("lr", "classifier_lr", "weight_decay")


def write(trials: Sequence[Trial], chosen: Sequence[Trial], tested: Groups, search: Search) -> None:
    """Write search/trials.csv, search.png and README.md."""
    rows = [
        {"trial": t.name, "head": str(t.head), **t.values, **(t.scores or {}), "seconds": t.seconds} for t in trials
    ]
    with atomic_write(FOLDER / "trials.csv") as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False, lineterminator="\n")
    write_png(picture(trials, search), FOLDER / "search.png")
    with atomic_write(FOLDER / "README.md") as temporary:
        temporary.write_text(page(trials, chosen, tested, search), encoding="utf-8")


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
            else:  # it erases nothing
                for score in scores:
                    by_delta.axhline(score, color=colour, linewidth=0.8, alpha=0.5)
            best = pd.Series(scores).cummax()
            by_number.step(range(1, len(best) + 1), best, where="post", color=colour, label=recipe)
        by_delta.set_xlabel("first delta (lines: a recipe without delta)")
        by_delta.set_ylabel(f"{_title(search)} on validation, %")
        by_number.set_xlabel("draws: the best so far")
        by_number.legend(fontsize=8)
    return figure


def page(trials: Sequence[Trial], chosen: Sequence[Trial], tested: Groups, search: Search) -> str:
    """Return the page as Markdown."""
    hours = sum(trial.seconds or 0 for trial in trials) / 3600
    recipes = ", ".join(f"`{recipe}`" for recipe in search.recipes)
    parts = [
        "# The search\n",
        f"Each of {recipes} had the same budget: {search.trials} draws from the same ranges. The {len(trials)} "
        f"trainings took {hours:.2f} hours. {_title(search)} on the validation images chose. The chosen ones were "
        f"trained anew with {search.seeds} other seeds, and scored on the test images.\n",
        "![Score against delta, and against draws](search.png)\n",
        "## The chosen settings\n",
    ]
    header = ["Recipe", "Chosen head", *RATES, "Epochs", f"{_title(search)}, validation"]
    rows = []
    for trial in chosen:
        rates = (f"{trial.values[name]:.2g}" for name in RATES)
        score = f"{100 * trial.score(search):.1f}"
        rows.append([f"`{trial.recipe}`", f"`{trial.head}`", *rates, f"{trial.values['epochs']:g}", score])
    parts.append(markdown_table(header, rows))
    if means := over_trainings(tested):
        titles = [about(metric).title for metric in next(iter(means.values()))]
        rows = [
            [f"`{group}`", *(_with_interval(metric, interval) for metric, interval in its.items())]
            for group, its in means.items()
        ]
        parts += ["## On the test images\n", markdown_table(["Cell", *titles], rows)]
        parts.append("Percent: means over the seeds, with 95 % intervals over images and trainings.\n")
    metric = search.metric if search.metric in next(iter(means.values()), {}) else "accuracy_top1"
    best = max(means, key=lambda group: means[group][metric].value, default=None)
    rows = []
    for each in compare_cells(tested, best, []):
        points = signed(each.result.difference, each.result.low, each.result.high)
        real = "yes" if each.result.real else "no"
        rows.append([f"`{each.a}` - `{each.b}`", about(each.metric).title, points, real])
    if rows:
        parts.append(markdown_table(["Difference", "Metric", "Points", "Significant"], rows))
    parts.append("All trials: [trials.csv](trials.csv).\n")
    return "\n".join(parts)


def _with_interval(metric: str, interval: Interval) -> str:
    return "{} [{}, {}]".format(*map(about(metric).text, (interval.value, interval.low, interval.high)))


def _title(search: Search) -> str:
    return about({"accuracy": "accuracy_top1"}.get(search.metric, search.metric)).title
