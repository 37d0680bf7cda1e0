"""Write a model as one file for programs without this package: class probabilities and the localization map.

    acol export MODEL --out model.onnx [--fixed] [--int8]

MODEL is a checkpoint (models/CELL/best.pt) or a registered model (models:/acol@champion). The suffix of FILE says the
format, .onnx or .pt2, unless --format does. The file takes images of any number and size, or with --fixed one image of
the model's size, as OpenCV's dnn and TensorRT without profiles want it. It computes a map at one scale: a model that
was scored by maps of several is refused without --scales 1, since its boxes become others. The metadata have the
classes, the image size, the map's name, the box threshold and the calibration (docs/export.md). With --int8 it computes
in 8-bit integers, calibrated on training images of the project that the model is of. It is written only if the loss on
the validation images is small.
"""

import json
import tempfile
from pathlib import Path
from typing import get_args

from acol.data.loading import load_split
from acol.data.manifest import read_manifest
from acol.errors import InputError
from acol.files import atomic_write
from acol.prediction.export import SIDE, Form, export
from acol.prediction.predictor import Predictor
from pipeline import cli
from pipeline.params import load_params
from pipeline.places import CACHE, MANIFEST
from pipeline.tracking.card import card_for, of_export
from pipeline.tracking.registry import CARD, SCHEME, load_predictor

SUFFIXES: dict[str, Form] = {".onnx": "onnx", ".pt2": "torch"}


def export_int8(predictor: Predictor, model: str, file: Path, fixed: bool) -> str:
    """Write the model in 8-bit integers by the images of its project; return what it loses. Raises `InputError`."""
    from acol.prediction.int8 import write_int8

    # A checkpoint is PROJECT/models/CELL/best.pt; a registered model is of the project in this folder.
    root = Path.cwd() if model.startswith(SCHEME) else Path(model).absolute().parent.parent.parent
    manifest = read_manifest(root / MANIFEST, root / load_params(root / "params.yaml").data.root)
    if manifest.classes != predictor.card.classes or not manifest.of("val"):
        raise InputError(f"{root / MANIFEST}: has no validation images of the model's classes; export without --int8")
    side = -(-predictor.card.preprocessing.size // SIDE) * SIDE
    train, val = (load_split(manifest, split, side, root / CACHE) for split in ("train", "val"))
    with tempfile.TemporaryDirectory(prefix="acol-") as folder:
        whole = Path(folder, "whole.onnx")
        export(predictor, whole, "onnx", fixed)
        return write_int8(whole, file, train, val, manifest.of("val"))


@cli.main
def main() -> None:
    """Export the model of the command line."""
    parser = cli.parser("pipeline.export", "Write a model as one file.")
    parser.add_argument("model", help="checkpoint, or registered model such as models:/acol@champion")
    parser.add_argument(
        "--format", choices=get_args(Form), help="ONNX, or torch.export's own (default: by the suffix, .onnx or .pt2)"
    )
    parser.add_argument("--fixed", action="store_true", help="one image of the model's size, as OpenCV's dnn takes it")
    parser.add_argument(
        "--scales", type=int, choices=[1], help="leave out the other sizes that the model's maps are of"
    )
    parser.add_argument("--int8", action="store_true", help="in 8-bit integers, if the validation images lose little")
    parser.add_argument("--out", type=Path, required=True, help="the file")
    arguments = parser.parse_args()
    if arguments.out.exists():
        raise InputError(f"--out {arguments.out}: exists; name a new file")
    form = arguments.format or SUFFIXES.get(arguments.out.suffix.lower())
    if form is None:
        raise InputError(f"--out {arguments.out}: no {' or '.join(SUFFIXES)} file; add --format onnx or --format torch")
    if arguments.int8 and form != "onnx":
        raise InputError("--int8: only ONNX has it; name a file .onnx")
    predictor = load_predictor(arguments.model, Path.cwd())
    if arguments.scales is None and predictor.scales != (1,):
        sizes = ", ".join(f"{scale:g}" for scale in predictor.scales)
        raise InputError(
            f"{arguments.model}: its maps are means over the scales {sizes}, the file's are of scale 1 alone, with "
            "other boxes; add --scales 1, or evaluate the model with evaluate.scales: [1]"
        )
    if arguments.int8:
        print(export_int8(predictor, arguments.model, arguments.out, arguments.fixed))
    else:
        export(predictor, arguments.out, form, arguments.fixed)
    card = card_for(arguments.model, Path.cwd())
    if card is not None:
        beside = Path(f"{arguments.out}.{CARD}")
        with atomic_write(beside) as temporary:
            temporary.write_text(json.dumps(of_export(card, arguments.out), indent=1) + "\n", encoding="utf-8")
    megabytes = arguments.out.stat().st_size / 1e6
    print(
        f"{arguments.out}: {megabytes:.1f} MB; inputs and outputs are described in its metadata, and in docs/export.md"
    )


if __name__ == "__main__":
    main()
