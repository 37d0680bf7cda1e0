"""Draw the maps of the same test images in two cells, one above the other: what each classifier sees after erasing.

    python -m benchmarks.erased_maps CELL OTHER [--images 2] --out docs/images/erased-maps.png

Run in a project's folder whose cells are evaluated: the default's, with the heads pp-0.6 and pp-0.6-conv3. The images
are those on which the first classifier of both cells covers most of the object.
"""

import argparse
import tempfile
from pathlib import Path

from PIL import Image

from acol.data.manifest import read_manifest
from acol.figures.panels import panel
from acol.figures.text import write_png
from pipeline.params import load_params
from pipeline.pictures import panel_row, photograph
from pipeline.places import MANIFEST, results
from pipeline.results import read_images, read_results


def main() -> None:
    """Draw one picture of both cells."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cells", nargs=2)
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    params = load_params()
    known = {cell.name: cell for cell in params.cells()}
    manifest = read_manifest(MANIFEST, params.data.root)
    tests = {image.path: image for image in manifest.of("test")}
    tables = [read_images(results(name) / "images.csv").set_index("path") for name in arguments.cells]
    covered = sum(table["object_share_1"] * table["correct"] for table in tables)
    paths = list(covered.sort_values(ascending=False, kind="stable").index[: arguments.images])
    parts = []
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.cells:
            recipe, read = known[name].recipe, read_results(results(name), paths)
            rows = [panel_row(path, read, photograph(tests[path], manifest)) for path in paths]
            file = Path(folder) / f"{name}.png"
            write_png(panel(rows, recipe.letters, recipe.deltas, name), file)
            parts.append(Image.open(file).convert("RGB"))
        sheet = Image.new("RGB", (max(part.width for part in parts), sum(part.height for part in parts)), "white")
        top = 0
        for part in parts:
            sheet.paste(part, (0, top))
            top += part.height
    sheet.save(arguments.out, optimize=True)


if __name__ == "__main__":
    main()
