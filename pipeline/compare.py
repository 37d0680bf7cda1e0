"""compare: compares all cells of the grid, and says which is the best.

    python -m pipeline.compare

reads the results of the cells that params.yaml names. It writes into report/ the tables (`pipeline.report.tables`),
best.json, the pictures of trainings and maps, and index.html, a page that shows all of it and needs no other file. A
cell without complete results is left out, and named on stderr and in table.md. At least one cell must be complete.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from acol.data.manifest import Manifest, read_manifest
from acol.figures.panels import Photograph, gallery
from acol.figures.text import write_png
from acol.figures.training_curves import curves, look
from pipeline import cli, places
from pipeline.params import Cams, load_params
from pipeline.pictures import ROWS, choose_sample, photograph, prediction
from pipeline.report.cells import Loaded
from pipeline.report.grid_comparison import GridComparison, compare_grid
from pipeline.report.page import write_page
from pipeline.report.plots import family_places
from pipeline.report.tables import write_tables
from pipeline.results import read_results

REPORT = Path("report")


def draw_pictures(folder: Path, grid: GridComparison, manifest: Manifest, settings: Cams) -> None:
    """Draw the trainings of all cells, and their maps of a sample and of the hardest test images."""
    looks = [look(*place) for place in family_places(grid.cells)]
    write_png(curves({cell.cell.name: cell.curve for cell in grid.cells}, looks), folder / "curves.png")
    tests = {image.path: image for image in manifest.of("test")}
    sample = choose_sample([(image.path, image.label) for image in tests.values()], settings.sample, settings.seed)
    hard = list(grid.hardest["path"][: settings.failures])
    for name, paths in (("gallery", sample), ("hardest", hard)):
        photographs = [photograph(tests[path], manifest) for path in paths[:ROWS]]
        draw_gallery(folder / f"{name}.png", grid.cells, photographs)


def draw_gallery(file: Path, cells: Sequence[Loaded], photographs: Sequence[Photograph]) -> None:
    """Draw each image's predictions and maps in all cells side by side."""
    paths = [picture.path for picture in photographs]
    views = []  # for each cell the prediction and the map, by path
    for cell in cells:
        results = read_results(places.results(cell.cell.name), paths)
        views.append({path: (prediction(results, path), results.maps[path]) for path in paths})
    rows = [(picture, [view[picture.path] for view in views]) for picture in photographs]
    write_png(gallery(rows, [cell.cell.name for cell in cells]), file)


@cli.main
def main() -> None:
    """Compare the cells of the grid."""
    cli.no_arguments("Compare the cells of the grid.")
    params = load_params()
    manifest = read_manifest(places.MANIFEST, params.data.root)
    grid = compare_grid(params, manifest)
    for cell, why in grid.missing.items():
        print(f"compare: {cell} is left out: {why}", file=sys.stderr)
    write_tables(REPORT, grid)
    draw_pictures(REPORT, grid, manifest, params.cams)
    write_page(REPORT / "index.html", grid, manifest)


if __name__ == "__main__":
    main()
