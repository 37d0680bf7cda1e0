"""The console command `acol`: it runs a module of the package `pipeline`.

This file imports only what the library alone has, so that it can say what to install for the pipeline.
"""

import argparse
import signal
import sys
from importlib import import_module, metadata

from acol.errors import did_you_mean
from pipeline import end_at_once

MODULES = {
    "look": "pipeline.look",
    "train": "pipeline.train_acol",
    "predict": "pipeline.predict",
    "sample": "pipeline.sample",
    "export": "pipeline.export",
    "init": "pipeline.init",
    "repro": "pipeline.repro",
    "report": "pipeline.outcome",
    "search": "pipeline.search.__main__",
    "gate": "pipeline.gate",
    "champion": "pipeline.champion",
    "verify": "pipeline.verify",
    "drift": "pipeline.drift",
    "ui": "pipeline.ui",
    "serve": "pipeline.serve",
}
EXAMPLES = """\
examples:
  acol look photos
      say what would be read from the folder, and print the settings for params.yaml
  acol train photos --epochs 5
      train on the class folders in photos/, and write model, scores and pictures into one-off/
  acol init my-project --images photos
      make a project that compares backbones and recipes on them by dvc repro; acol report says which is best
  acol predict new/*.jpg --model one-off/models/CELL/best.pt --out predictions
      name and locate the object in each image
  acol export one-off/models/CELL/best.pt --out model.onnx
      write one file for programs without this package
  eval "$(acol --completion)"
      let bash or zsh complete the names of commands

`acol COMMAND --help` lists the options of a command."""


def main() -> None:
    """Run the command that the command line names."""
    parser = argparse.ArgumentParser(
        prog="acol",
        description="Learn where objects are from image-level labels.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {metadata.version('acol')}")
    parser.add_argument("--completion", action="store_true", help="print what makes a shell complete the commands")
    parser.add_argument(
        "command", nargs="?", metavar="{" + ",".join(MODULES) + "}",
        help="look at a folder, train a model on it or a whole grid, use, export or serve one",
    )  # fmt: skip
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="arguments of the command")
    arguments = parser.parse_args()
    if arguments.completion:  # the shell completes the names of commands, and else those of files
        print(f"complete -o default -W '{' '.join(MODULES)}' acol")
        return
    if arguments.command is None:
        parser.print_help()
        return
    if arguments.command not in MODULES:
        parser.error(f"unknown command {arguments.command!r}; {did_you_mean(arguments.command, MODULES)}")
    sys.argv = [f"acol {arguments.command}", *arguments.arguments]  # the command's parser and messages show this name
    signal.signal(signal.SIGINT, end_at_once)  # until the imports are done
    if sys.stderr.isatty():  # loading takes seconds
        print("loading ...", end="\r", file=sys.stderr, flush=True)
    try:
        module = import_module(MODULES[arguments.command])
    except ModuleNotFoundError as error:  # only the library is installed
        print(f"error: acol {arguments.command} needs {error.name}; pip install 'acol[pipeline]'", file=sys.stderr)
        sys.exit(2)
    module.main()
