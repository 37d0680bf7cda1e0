"""export: writes a model as one file for programs without this package: class probabilities and the localization map.

    acol export MODEL --out model.onnx [--fixed] [--int8]

MODEL is a checkpoint (models/CELL/best.pt) or a registered model (models:/acol@champion). The suffix of the file says
the format, .onnx or .pt2, unless --format does. The file takes any number of images of any size. With --fixed it takes
one image of the model's size, as OpenCV's dnn and TensorRT without profiles want it. It computes the map at one scale.
So a model that was scored with maps over several scales is refused without --scales 1: its boxes would be others. The
file's metadata hold the classes, the image size, the map's name, the box threshold and the calibration
(docs/export.md). With --int8 the file computes in 8-bit integers. Training images of the model's project calibrate
them, and the file is written only if the loss on the validation images is small.
"""

import json
import tempfile
import warnings
from pathlib import Path
from typing import get_args

from acol.data.loading import load_split
from acol.data.manifest import read_manifest
from acol.errors import InputError
from acol.files import atomic_write
from acol.prediction.export import ExportFormat, export, exported_size
from acol.prediction.predictor import Predictor
from pipeline import cli
from pipeline.params import load_params
from pipeline.places import CACHE, MANIFEST
from pipeline.tracking.card import card_of_export, find_card
from pipeline.tracking.registry import CARD, SCHEME, load_predictor, pin

SUFFIXES: dict[str, ExportFormat] = {".onnx": "onnx", ".pt2": "torch"}


def export_int8(predictor: Predictor, model: str, file: Path, fixed: bool) -> str:
    """Write the model in 8-bit integers with the images of its project, and return in words what it loses.

    Raises `InputError` if the project or its images are missing, and if the loss may be above its limit.
    """
    from acol.prediction.int8 import write_int8

    # A checkpoint is PROJECT/models/CELL/best.pt; a registered model is of the project in this folder.
    root = Path.cwd() if model.startswith(SCHEME) else Path(model).absolute().parent.parent.parent
    for path in (root / "params.yaml", root / MANIFEST):
        if not path.is_file():
            raise InputError(
                f"--int8: {path} is missing. Images of the model's project calibrate the integers and show what they "
                "lose; name the model as PROJECT/models/CELL/best.pt, or export without --int8"
            )
    manifest = read_manifest(root / MANIFEST, root / load_params(root / "params.yaml").data.root)
    if manifest.classes != predictor.card.classes or not manifest.of("val"):
        raise InputError(f"{root / MANIFEST}: has no validation images of the model's classes; export without --int8")
    size = exported_size(predictor)
    train, val = (load_split(manifest, split, size, root / CACHE) for split in ("train", "val"))
    with tempfile.TemporaryDirectory(prefix="acol-") as folder:
        float_file = Path(folder, "float.onnx")
        export(predictor, float_file, "onnx", fixed)
        return write_int8(float_file, file, train, val, manifest.of("val"))


@cli.main
def main() -> None:
    """Export the model of the command line."""
    warnings.filterwarnings("ignore", module=r"torch\.|copyreg")  # what torch tells of its own code
    parser = cli.parser("pipeline.export", "Write a model as one file.")
    add = parser.add_argument
    add("model", help="checkpoint, or registered model such as models:/acol@champion")
    meaning = "ONNX, or torch.export's own (default: by the suffix, .onnx or .pt2)"
    add("--format", choices=get_args(ExportFormat), help=meaning)
    add("--fixed", action="store_true", help="one image of the model's size, as OpenCV's dnn takes it")
    add("--scales", type=int, choices=[1], help="leave out the other sizes that the model's maps are of")
    add("--int8", action="store_true", help="in 8-bit integers, if little is lost on validation images")
    add("--out", type=Path, required=True, help="the file")
    arguments = parser.parse_args()
    # What the options alone can make wrong is refused before the model is loaded.
    if arguments.out.exists():
        raise InputError(f"--out {arguments.out}: exists; name a new file")
    file_format = arguments.format or SUFFIXES.get(arguments.out.suffix.lower())
    if file_format is None:
        raise InputError(f"--out {arguments.out}: no {' or '.join(SUFFIXES)} file; add --format onnx or --format torch")
    if arguments.int8 and file_format != "onnx":
        raise InputError("--int8: only ONNX has it; name a file .onnx")
    model = pin(arguments.model, Path.cwd())  # the alias may move meanwhile
    predictor = load_predictor(model, Path.cwd())
    # A file gives the boxes that were scored, or the user says that they may be others.
    if arguments.scales is None and predictor.scales != (1,):
        sizes = ", ".join(f"{scale:g}" for scale in predictor.scales)
        raise InputError(
            f"{model}: its maps are means over the scales {sizes}. The file's maps are of scale 1 alone and give other "
            "boxes; add --scales 1, or evaluate the model with evaluate.scales: [1]"
        )
    if arguments.int8:
        print(export_int8(predictor, model, arguments.out, arguments.fixed))
    else:
        export(predictor, arguments.out, file_format, arguments.fixed)
    # The card goes beside the file, so that `acol verify` can compare the two.
    if (card := find_card(model, Path.cwd())) is not None:
        with atomic_write(f"{arguments.out}.{CARD}") as temporary:
            temporary.write_text(json.dumps(card_of_export(card, arguments.out), indent=1) + "\n", encoding="utf-8")
    size = f"{arguments.out.stat().st_size / 1e6:.1f} MB"
    print(f"{arguments.out}: {size}; inputs and outputs are described in its metadata, and in docs/export.md")


if __name__ == "__main__":
    main()
