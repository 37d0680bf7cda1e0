"""installed: writes which code the stages run into a file that DVC watches: the version, and a hash of each part.

A project of `acol init` has no code of its own. Where a stage in the clone depends on a folder or file of code, its
stage depends on a key of this file. So another version of the package reruns only the stages whose code it changed.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from ruamel.yaml import YAML

from acol.errors import InputError
from acol.files import atomic_write, sha256

INSTALLED = "installed.json"
CODE = Path(__file__).parents[1]


def packaged(name: str) -> Path:
    """Return the path of a file in the clone, or as the package installed it. Raises `InputError` without both."""
    if (CODE / name).is_file():
        return CODE / name
    listed = [file for file in metadata.files("acol") or [] if file.parts[-3:] == ("share", "acol", name)]
    if not listed:
        raise InputError(f"{name}: not among the files of the installed package acol; install it again")
    return Path(str(listed[0].locate()))


def code_in(deps: Sequence[str]) -> list[str]:
    """Return the dependencies of a stage that are code, as keys of the file: "acol/data", "pipeline/train"."""
    return [dep.removesuffix(".py") for dep in deps if dep.startswith(("acol/", "pipeline/"))]


def _hash(part: Path) -> str:
    if not part.is_dir():
        return sha256(part.with_suffix(".py"))
    files = [file for file in sorted(part.rglob("*")) if file.is_file() and "__pycache__" not in file.parts]
    text = "\n".join(f"{file.relative_to(part).as_posix()} {sha256(file)}" for file in files)
    return hashlib.sha256(text.encode()).hexdigest()


def write_hashes(root: Path) -> None:
    """Write the package's version, and the hash of each part of the code on which a stage depends, into a project."""
    stages = YAML(typ="safe", pure=True).load(packaged("dvc.yaml"))["stages"].values()
    parts = sorted({part for stage in stages for part in code_in(stage["deps"])})
    content = {"version": metadata.version("acol")} | {part: _hash(CODE / part) for part in parts}
    with atomic_write(root / INSTALLED) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    try:
        write_hashes(Path())
    except InputError as error:
        sys.exit(f"error: {error}")
