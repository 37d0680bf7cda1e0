"""cams: the pictures of one cell, from what `evaluate` kept of its one forward pass.

    python -m pipeline.cams BACKBONE HEAD

reads data/split/manifest.json, results/{cell}/{images.csv,maps.npz} and models/{cell}/{history.csv,summary.json}, and
writes cams/{cell}/: sample-NN.png (the same test images in every cell), failure-NN.png (this cell's worst, worst
first), overview.png (all of them in one picture, as far as one picture goes) and curves.png.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from acol import viz
from acol.data.images import read_image
from acol.data.manifest import Image, Manifest, read_manifest
from acol.errors import InputError
from acol.files import atomic_folder
from acol.localization import fuse
from acol.recipe import Recipe
from pipeline import cli, places
from pipeline.params import Cams

ROWS = 40  # of one picture: with more it can be neither read nor, some time, written
TEXT_COLUMNS = ("path", "label", "predicted")


# --- which images ------------------------------------------------------------------------------------------------


def choose_sample(images: Sequence[tuple[str, str]], count: int, seed: int) -> list[str]:
    """Choose `count` of the images (path, label), in turn from each class, so that every class is seen.

    The order within a class and of the classes is by a hash of the seed and the name: the choice is the same in every
    cell, and other images coming or going move it as little as can be. Returned class by class.
    """

    def order(name: str) -> str:
        return hashlib.sha256(f"{seed}:{name}".encode("utf-8", "surrogateescape")).hexdigest()

    classes: dict[str, list[str]] = {}
    for path, label in images:
        classes.setdefault(label, []).append(path)
    turns = [
        (turn, order(label), label, path)
        for label, paths in classes.items()
        for turn, path in enumerate(sorted(paths, key=order))
    ]
    return [path for _, _, label, path in sorted(sorted(turns)[:count], key=lambda chosen: (chosen[2], chosen[0]))]


def worst_failures(images: pd.DataFrame, count: int) -> list[str]:
    """Choose the `count` worst failures of images.csv, worst first.

    First the images of which the cell named a wrong class, the most confident first; then, where boxes exist, those
    of which it named the right class but whose box has an IoU below 0.5, the lowest first.
    """
    right = images["correct"] == 1
    wrong = images[~right].sort_values(["probability", "path"], ascending=[False, True])
    missed = images[right & (images["iou"] < 0.5)].sort_values(["iou", "path"])
    return [*wrong["path"], *missed["path"]][:count]


# --- what evaluate and train left --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Results:
    """A cell's results: images.csv, a row a test image, and the maps of each path (K, h, w), by class asked for."""

    images: pd.DataFrame
    true_cams: dict[str, npt.NDArray[np.floating]]
    predicted_cams: dict[str, npt.NDArray[np.floating]]


def read_results(folder: Path, paths: Sequence[str] | None = None) -> Results:
    """Read images.csv and the maps of `paths` (None: of all) from results/{cell}.

    Raises `InputError` naming the file if one is missing, broken, or does not hold an image of `paths`.
    """
    images = read_images(folder / "images.csv")
    file = folder / "maps.npz"
    with _reading(file), np.load(file, allow_pickle=False) as maps:
        place = {str(path): index for index, path in enumerate(maps["paths"])}
        wanted = list(place) if paths is None else list(paths)
        unknown = sorted(set(wanted) - place.keys() | set(wanted) - set(images["path"]))
        if unknown:
            raise InputError(f"{file}: no map of {unknown[0]!r}; it is of another test split, evaluate the cell again")
        true_cams, predicted_cams = maps["cams"], maps["predicted_cams"]
    return Results(
        images,
        {path: true_cams[place[path]] for path in wanted},
        {path: predicted_cams[place[path]] for path in wanted},
    )


def read_iou_curves(file: Path, images: pd.DataFrame) -> npt.NDArray[np.floating] | None:
    """Read the IoU curves (N, T) of the rows of images.csv from maps.npz; None where the test images have no boxes.

    Raises `InputError` naming the file if it is missing, broken, or of other images.
    """
    with _reading(file), np.load(file, allow_pickle=False) as maps:
        if list(maps["paths"]) != list(images["path"]):
            raise InputError(f"{file}: not of the images of images.csv; evaluate the cell again")
        return maps.get("iou_curves")


def read_images(file: Path) -> pd.DataFrame:
    """Read results/{cell}/images.csv; names stay as they are written ("NA" and "007" are names), no box is NaN."""
    with _reading(file):
        header = pd.read_csv(file, nrows=0).columns
        numbers = [column for column in header if column not in TEXT_COLUMNS]
        return pd.read_csv(
            file, dtype=dict.fromkeys(TEXT_COLUMNS, str), keep_default_na=False, na_values={n: [""] for n in numbers}
        )


def read_curve(folder: Path) -> viz.Curve:
    """Read models/{cell}'s history.csv and summary.json into a curve; raises `InputError` naming a broken file."""
    with _reading(folder / "history.csv"):
        history = pd.read_csv(folder / "history.csv")
    summary = read_json(folder / "summary.json")
    with _reading(folder / "summary.json"):
        return viz.Curve(history, summary["letters"], summary["num_classes"], summary["best_epoch"])


def read_json(file: Path) -> dict[str, Any]:
    """Read a stage's JSON file; raises `InputError` naming it if it is missing or broken."""
    with _reading(file):
        content = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("not an object")
        return content


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{file}: missing; run the stage that writes it (dvc repro)") from None
    except InputError:
        raise
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        problem = " ".join(str(error).split())[:200]
        raise InputError(f"{file}: cannot be read ({problem}); run the stage that writes it again") from None


# --- what is drawn -----------------------------------------------------------------------------------------------


def photograph(image: Image, manifest: Manifest) -> viz.Photograph:
    """Load an image of the manifest with its true boxes."""
    pixels = np.asarray(read_image(Path(manifest.root) / image.path), dtype=np.uint8)
    return viz.Photograph(pixels, image.path, image.label, image.boxes or ())


def prediction(row: "pd.Series[Any]") -> viz.Prediction:
    """What a row of images.csv says of its image."""
    box = row[["x0", "y0", "x1", "y1"]].to_numpy(dtype=float)
    iou = float(row["iou"])
    return viz.Prediction(
        row["predicted"],
        float(row["probability"]),
        tuple(box) if np.isfinite(box).all() else None,
        iou if np.isfinite(iou) else None,
    )


def fused(cams: npt.NDArray[np.floating], recipe: Recipe) -> npt.NDArray[np.floating]:
    """Fuse one image's maps (K, h, w) as the recipe says -> (h, w)."""
    return fuse(torch.from_numpy(cams.astype(np.float32))[:, None], recipe)[0].numpy()


def panel_row(path: str, results: Results, picture: viz.Photograph, recipe: Recipe) -> viz.PanelRow:
    """Put one image's maps and prediction together; the predicted class's map is there only where it is another."""
    answer = prediction(results.images.set_index("path").loc[path])
    rival = fused(results.predicted_cams[path], recipe) if answer.label != picture.label else None
    cams = results.true_cams[path]
    return viz.PanelRow(picture, answer, cams.astype(np.float32), fused(cams, recipe), rival)


def draw(
    folder: Path,
    title: str,
    recipe: Recipe,
    manifest: Manifest,
    results: Results,
    curve: viz.Curve,
    sample: Sequence[str],
    failures: Sequence[str],
) -> None:
    """Write a cell's pictures into `folder`, whole or not at all; what was there before is replaced.

    `sample` and `failures` are paths of the manifest, of which `results` has the maps; `title` heads each panel.
    """
    images = {image.path: image for image in manifest.images}
    names = [f"sample-{number:02d}" for number in range(1, len(sample) + 1)]
    names += [f"failure-{number:02d}" for number in range(1, len(failures) + 1)]
    pictures = {path: photograph(images[path], manifest) for path in dict.fromkeys([*sample, *failures])}
    rows = [panel_row(path, results, pictures[path], recipe) for path in [*sample, *failures]]
    with atomic_folder(folder) as partial:
        for name, row in zip(names, rows, strict=True):
            viz.write_png(viz.panel([row], recipe.letters, recipe.deltas, title), partial / f"{name}.png")
        viz.write_png(viz.panel(rows[:ROWS], recipe.letters, recipe.deltas, title), partial / "overview.png")
        viz.write_png(viz.cell_curves(title, curve), partial / "curves.png")


def draw_cell(root: Path, name: str, recipe: Recipe, manifest: Manifest, settings: Cams) -> None:
    """Draw the sample and the failures of the cell whose files lie under `root`, into root/cams/{name}."""
    results, models = root / places.results(name), root / places.model(name)
    tests = [(image.path, image.label) for image in manifest.of("test")]
    sample = choose_sample(tests, settings.sample, settings.seed)
    failures = worst_failures(read_images(results / "images.csv"), settings.failures)
    shown = read_results(results, [*sample, *failures])
    draw(root / "cams" / name, name, recipe, manifest, shown, read_curve(models), sample, failures)


@cli.main
def main() -> None:
    """Draw one cell of the grid."""
    params, cell = cli.cell_arguments(__doc__)
    draw_cell(Path(), cell.name, cell.recipe, read_manifest(places.MANIFEST), params.cams)


if __name__ == "__main__":
    main()
