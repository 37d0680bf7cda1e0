"""Write a model as one file for programs without this package: class probabilities and the localization map.

    acol export MODEL --format onnx|torch --out FILE

MODEL is a checkpoint (models/CELL/best.pt) or a registered model (models:/acol@champion). The file takes images of any
number and size; its metadata have the classes, the image size, the box threshold and the calibration (docs/export.md).
"""

import argparse
import sys
from pathlib import Path
from typing import get_args

from acol.errors import InputError
from acol.prediction.export import Form, export
from pipeline import cli
from pipeline.tracking.registry import load_predictor
from pipeline.tracking.store import StoreError


@cli.main
def main() -> None:
    """Export the model of the command line."""
    parser = argparse.ArgumentParser(cli.program("pipeline.export"), description="Write a model as one file.")
    parser.add_argument("model", help="checkpoint, or registered model such as models:/acol@champion")
    parser.add_argument("--format", required=True, choices=get_args(Form), help="ONNX, or torch.export's own format")
    parser.add_argument("--out", type=Path, required=True, help="the file")
    arguments = parser.parse_args()
    if arguments.out.exists():
        raise InputError(f"--out {arguments.out}: exists; name a new file")
    try:
        predictor = load_predictor(arguments.model, Path.cwd())
    except StoreError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    export(predictor, arguments.out, arguments.format)
    megabytes = arguments.out.stat().st_size / 1e6
    print(
        f"{arguments.out}: {megabytes:.1f} MB; inputs and outputs are described in its metadata, and in docs/export.md"
    )


if __name__ == "__main__":
    main()
