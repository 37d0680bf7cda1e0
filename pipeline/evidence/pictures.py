"""The losses of each head over its seeds, by epoch."""

from collections.abc import Mapping, Sequence
from pathlib import Path

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
