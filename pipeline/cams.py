"""cams: draws the pictures of one cell, from the maps that `evaluate` kept.

    python -m pipeline.cams BACKBONE HEAD

writes into cams/{cell}/:

    sample-NN.png    the same test images in every cell
    failure-NN.png   this cell's worst failures, worst first
    overview.png     all of these in one picture, each image once, up to a limit
    view-NN.png      the first sample images with the cell's map and the boxes, to compare cells in MLflow
    curves.png       the training
"""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from acol.data.manifest import Manifest, read_manifest
from acol.figures.panels import PanelRow, draw_map, panel
from acol.figures.text import write_png
from acol.figures.training_curves import curves
from acol.files import atomic_folder
from acol.recipe import Recipe
from pipeline import cli, places
from pipeline.params import Cams
from pipeline.pictures import ROWS, choose_sample, panel_row, photograph, read_curve, worst_failures
from pipeline.results import read_images, read_results

VIEWS = 6  # pictures view-NN.png: as many as one looks at side by side


def draw_cell(root: Path, name: str, recipe: Recipe, manifest: Manifest, settings: Cams) -> None:
    """Draw the pictures of the cell whose files lie under `root` into root/cams/{name}, all or none of them."""
    # Choose the images, and read what is drawn of them.
    folder, images = root / places.results(name), {image.path: image for image in manifest.images}
    sample = choose_sample([(image.path, image.label) for image in manifest.of("test")], settings.sample, settings.seed)
    failures = worst_failures(read_images(folder / "images.csv"), settings.failures)
    results, curve = read_results(folder, [*sample, *failures]), read_curve(root / places.model(name), folder)
    pictures = {path: photograph(images[path], manifest) for path in dict.fromkeys([*sample, *failures])}
    rows = [panel_row(path, results, pictures[path]) for path in [*sample, *failures]]
    names = [f"sample-{number:02d}" for number in range(1, len(sample) + 1)]
    names += [f"failure-{number:02d}" for number in range(1, len(failures) + 1)]
    # Draw each of them alone, all in one picture, the training, and the views.
    with atomic_folder(root / "cams" / name) as partial:
        for file, row in zip(names, rows, strict=True):
            write_png(panel([row], recipe.letters, recipe.deltas, name), partial / f"{file}.png")
        chosen, headings = overview(rows, len(sample))
        write_png(panel(chosen, recipe.letters, recipe.deltas, name, headings), partial / "overview.png")
        write_png(curves({name: curve}), partial / "curves.png")
        for number, row in enumerate(rows[: min(len(sample), VIEWS)], 1):
            Image.fromarray(draw_map(row)).save(partial / f"{places.VIEW}{number:02d}.png")


def overview(rows: Sequence[PanelRow], sample: int) -> tuple[list[PanelRow], dict[int, str]]:
    """Choose the rows of one picture, each image once, and return them with their headings by row number.

    The first `sample` rows are the sample, the others are failures. If not all fit, each part gets half of the room,
    and what the other part leaves free.
    """
    seen = {row.photograph.path for row in rows[:sample]}
    failures = [row for row in rows[sample:] if row.photograph.path not in seen]
    first = rows[: max(ROWS - len(failures), ROWS // 2)][:sample]
    failures = failures[: ROWS - len(first)]
    headings = {0: "Sample: the same test images in every cell"} if first else {}
    if failures:
        headings[len(first)] = "Worst failures" + (" that are not in the sample" if first else "")
    return [*first, *failures], headings


@cli.main
def main() -> None:
    """Draw one cell of the grid."""
    params, cell = cli.cell_arguments("Draw the pictures of one cell.")
    draw_cell(Path(), cell.name, cell.recipe, read_manifest(places.MANIFEST, params.data.root), params.cams)


if __name__ == "__main__":
    main()
