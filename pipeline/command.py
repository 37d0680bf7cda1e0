"""The console command `acol`: a look at a folder, and training and prediction on files, outside of the pipeline.

    acol look FOLDER
    acol train FOLDER
    acol predict IMAGE|FOLDER|GLOB... --model CHECKPOINT --out DIR
    acol export MODEL --format onnx|torch --out FILE

They run modules of the package `pipeline`. This file imports only Python's standard library, so that it can name the
missing packages if only the library is installed.
"""

import argparse
import re
import signal
import sys
from importlib import import_module, metadata

from pipeline import end_at_once

MODULES = {
    "look": "pipeline.look",
    "train": "pipeline.train_acol",
    "predict": "pipeline.predict",
    "export": "pipeline.export",
}
EXAMPLES = """\
examples:
  acol look photos
      say what would be read from the folder, and print the settings for params.yaml
  acol train photos --epochs 5
      train on the class folders in photos/, and write model, scores and pictures into one-off/
  acol predict new/*.jpg --model one-off/models/CELL/best.pt --out predictions
      name and locate the object in each image
  acol export one-off/models/CELL/best.pt --format onnx --out model.onnx
      write one file for programs without this package

`acol COMMAND --help` lists the options of a command."""


def missing_packages() -> list[str]:
    """Return the packages of the extra `pipeline` that are not installed."""
    return [name for name in _packages_of("pipeline") if not _installed(name)]


def _packages_of(extra: str) -> list[str]:
    pattern = re.compile(rf"""([\w.-]+).*;.*\bextra == ["']{extra}["']""")
    return [match[1] for line in metadata.requires("acol") or [] if (match := pattern.match(line))]


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def main() -> None:
    """Run the command that the command line names."""
    parser = argparse.ArgumentParser(
        prog="acol",
        description="Learn where objects are from image-level labels.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=MODULES, help="look at a folder, train a model on it, use one, or export it")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="arguments of the command")
    arguments = parser.parse_args()
    if missing := missing_packages():
        print(
            f"error: acol {arguments.command} needs {', '.join(missing)}; pip install 'acol[pipeline]'", file=sys.stderr
        )
        sys.exit(2)
    sys.argv = [f"acol {arguments.command}", *arguments.arguments]  # the command's parser and messages show this name
    signal.signal(signal.SIGINT, end_at_once)  # until the imports are done
    import_module(MODULES[arguments.command]).main()
