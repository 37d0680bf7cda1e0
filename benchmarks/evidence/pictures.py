"""The pictures of docs/evidence.md: the losses of each head by epoch, and the scores of all heads, over their seeds."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from acol.figures.text import DPI, SERIES, house_style, write_png
from pipeline.report.cells import Loaded


def draw_curves(path: Path, heads: Mapping[str, Sequence[Loaded]]) -> None:
    """Draw a panel for each head: the mean training and validation loss, with bands from the least to the most."""
    across = 5
    down = -(-len(heads) // across)
    with house_style():
        figure = Figure(figsize=(2.6 * across, 2.2 * down), dpi=DPI, layout="constrained")
        grid = figure.subplots(down, across, squeeze=False, sharex=True).ravel()
        for axes, (head, cells) in zip(grid, heads.items(), strict=False):
            for column, colour, dash in (("train_loss", SERIES[4], "--"), ("val_loss", SERIES[0], "-")):
                losses = np.array([cell.curve.history[column] for cell in cells])  # (seeds, epochs)
                epochs = np.arange(1, losses.shape[1] + 1)
                axes.fill_between(epochs, losses.min(0), losses.max(0), color=colour, alpha=0.25, linewidth=0)
                axes.plot(epochs, losses.mean(0), color=colour, linestyle=dash, label=column.replace("_", " "))
            axes.set_title(head)
            axes.set_ylim(bottom=0)
        for axes in grid[len(heads) :]:
            axes.set_axis_off()
        grid[0].legend(fontsize=8)
        figure.supxlabel("epoch")
    write_png(figure, path)


def draw_scores(path: Path, found: Mapping[str, Mapping[str, Any]]) -> None:
    """Draw accuracy and MaxBoxAccV2 of each head: a row an experiment, by its JSON; a dot a seed, a line the mean."""
    shown = (("accuracy_top1", "Accuracy"), ("max_box_acc_v2", "MaxBoxAccV2"))
    with house_style():
        figure = Figure(figsize=(11, 2.9 * len(found)), dpi=DPI, layout="constrained")
        grid = figure.subplots(len(found), 2, squeeze=False)
        for row, (experiment, content) in zip(grid, found.items(), strict=True):
            for axes, (metric, title) in zip(row, shown, strict=True):
                for place, its in enumerate(content["heads"].values()):
                    scores = 100 * np.array(its["scores"][metric])
                    axes.plot(np.full(len(scores), place), scores, "o", color=SERIES[0], alpha=0.6, markersize=4)
                    axes.plot([place - 0.3, place + 0.3], [scores.mean()] * 2, color=SERIES[0])
                axes.set_xticks(range(len(content["heads"])), content["heads"], rotation=40, ha="right", fontsize=8)
                axes.set_title(f"{experiment}: {title}, percent", fontsize=9)
    write_png(figure, path)
