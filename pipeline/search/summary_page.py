"""What a search found, as files: a table of all trials, a page with a picture, and the grid's lines for the chosen."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from acol.figures.text import DPI, SERIES, house_style, write_png
from acol.files import atomic_write
from acol.metrics.intervals import Interval
from pipeline.params import Search
from pipeline.report.metrics import about
from pipeline.search.final import Final
from pipeline.search.trials import Trial

FOLDER = Path("search")


def write(trials: Sequence[Trial], chosen: Sequence[Trial], final: Final, search: Search) -> None:
    """Write search/trials.csv, search.png and README.md."""
    rows = [
        {"trial": t.draw.name, "head": str(t.draw.head), **t.draw.values, **(t.scores or {}), "seconds": t.seconds}
        for t in trials
    ]
    with atomic_write(FOLDER / "trials.csv") as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False, lineterminator="\n")
    write_png(picture(trials, search), FOLDER / "search.png")
    with atomic_write(FOLDER / "README.md") as temporary:
        temporary.write_text(page(trials, chosen, final, search), encoding="utf-8")


def picture(trials: Sequence[Trial], search: Search) -> Figure:
    """Draw the score against the first delta with all draws, and the best score against the number of draws."""
    with house_style():
        figure = Figure(figsize=(8.6, 3.2), dpi=DPI, layout="constrained")
        by_delta, by_number = figure.subplots(1, 2, sharey=True)
        for recipe, colour in zip(search.recipes, SERIES, strict=False):
            its = [trial for trial in trials if trial.draw.recipe == recipe and trial.scores is not None]
            scores = [100 * (trial.scores or {})[search.metric] for trial in its]
            if deltas := [trial.draw.values["delta_1"] for trial in its if "delta_1" in trial.draw.values]:
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


def page(trials: Sequence[Trial], chosen: Sequence[Trial], final: Final, search: Search) -> str:
    """Return the page as Markdown."""
    hours = sum(trial.seconds or 0 for trial in trials) / 3600
    recipes = ", ".join(f"`{recipe}`" for recipe in search.recipes)
    budget = (
        f"Each of {recipes} had the same budget: {search.trials} draws from the same ranges. The {len(trials)} "
        f"trainings took {hours:.2f} hours. {_title(search)} on the validation images chose. The chosen ones were "
        f"trained anew with {search.seeds} other seeds, and scored on the test images."
    )
    header = ["Recipe", "Chosen head", "lr", "classifier_lr", "weight_decay", "Epochs", f"{_title(search)}, validation"]
    rows = [
        [
            f"`{trial.draw.recipe}`",
            f"`{trial.draw.head}`",
            *(f"{trial.draw.values[name]:.2g}" for name in ("lr", "classifier_lr", "weight_decay")),
            f"{trial.draw.values['epochs']:g}",
            f"{100 * (trial.scores or {})[search.metric]:.1f}",
        ]
        for trial in chosen
    ]
    parts = ["# The search\n", f"{budget}\n", "![Score against delta, and against draws](search.png)\n"]
    parts += ["## The chosen settings\n", _table(header, rows)]
    if final.means:
        metrics = list(next(iter(final.means.values())))
        rows = [
            [f"`{group}`", *(_with_interval(metric, interval) for metric, interval in its.items())]
            for group, its in final.means.items()
        ]
        parts += ["## On the test images\n", _table(["Cell", *(about(metric).title for metric in metrics)], rows)]
        parts.append("Percent: means over the seeds, with 95 % intervals over images and trainings.\n")
        parts += [_differences(final)] if final.comparisons else []
    parts.append("All trials: [trials.csv](trials.csv).\n")
    return "\n".join(parts)


def _differences(final: Final) -> str:
    rows = [
        [
            f"`{c.a}` - `{c.b}`",
            about(c.metric).title,
            f"{100 * c.result.difference:+.1f} [{100 * c.result.low:.1f}, {100 * c.result.high:.1f}]",
            "yes" if c.result.real else "no",
        ]
        for c in final.comparisons
    ]
    return _table(["Difference", "Metric", "Points", "Significant"], rows)


def _with_interval(metric: str, interval: Interval) -> str:
    text = about(metric).text
    return f"{text(interval.value)} [{text(interval.low)}, {text(interval.high)}]"


def _title(search: Search) -> str:
    return about({"accuracy": "accuracy_top1"}.get(search.metric, search.metric)).title


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in (header, [":--"] * len(header), *rows))
