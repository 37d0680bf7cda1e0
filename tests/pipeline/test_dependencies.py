"""dvc.yaml reads as the architecture: a stage names the folders of code that it imports, no more and no less."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]

# What these say reaches a stage as its params, paths and messages, which DVC watches: their code does not count.
PLUMBING = {"acol/setting_types.py", "acol/errors.py", "acol/files.py", "acol/head.py", "acol/recipe.py"}
PLUMBING |= {"pipeline/report/metrics.py"}  # titles, for messages
PLUMBING |= {f"pipeline/{name}.py" for name in ("cli", "params", "places", "processes", "progress", "strict_yaml")}
# One only tells the user of `track`, which stands in a file of its own and decides from the files whenever it runs;
# the other checks params.yaml.
# It chooses the epoch where train.best_by is localization: a change of that metric's code retrains nothing.
PLUMBING |= {"acol/localization/epochs.py"}
# The library's settings, by which params.yaml is checked in every stage, whichever it uses.
SETTINGS = {"acol/data/sizes.py", "acol/ingest/folder_settings.py", "acol/training/settings.py"}
UNCACHED = {"check", "tracked"}


def file_of(module):
    """The file of one of the project's modules, relative to the project; None for what is no module of ours."""
    path = ROOT / module.replace(".", "/")
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if module.split(".")[0] in ("acol", "pipeline") and candidate.is_file():
            return candidate.relative_to(ROOT).as_posix()
    return None


def imports(file):
    """The project's files that the import statements of a file name."""
    tree = ast.parse((ROOT / file).read_text())
    # A package's own file resolves some names at their first use: what it does not import at once is no dependency.
    for node in tree.body if file.endswith("/__init__.py") else ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        yield from (found for name in names if (found := file_of(name)))


def closure(file):
    seen, todo = set(), [file]
    while todo:
        if (name := todo.pop()) not in seen | PLUMBING:
            seen.add(name)
            todo += imports(name)
    return seen


def command_file(stage):
    return file_of(STAGES[stage]["cmd"].split("python -m ")[-1].split()[0])


def declared(stage):
    """The code in a stage's deps."""
    return {dep for dep in STAGES[stage]["deps"] if dep.split("/")[0] in ("acol", "pipeline")}


def lies_in(file, paths):
    return any(file == path or file.startswith(f"{path}/") for path in paths)


def test_a_split_without_its_images_removes_nothing():
    # DVC removes a stage's outputs before it runs, unless they persist; and the images may not be on this machine.
    assert all(settings["persist"] for out in STAGES["split"]["outs"] for settings in out.values())


@pytest.mark.parametrize("stage", sorted(STAGES.keys() - UNCACHED))
def test_each_stage_declares_the_code_that_it_imports(stage):
    needed = closure(command_file(stage)) - {"acol/__init__.py", "pipeline/__init__.py"}
    assert [file for file in sorted(needed) if not lies_in(file, declared(stage))] == []
    assert [path for path in sorted(declared(stage)) if not any(lies_in(file, [path]) for file in needed)] == []


SLOW = {"mlflow", "torch", "torchvision"}  # a second and more each, of processor time
NETWORK = frozenset({"torch", "torchvision"})
NOTHING = frozenset()
# Which of the slow ones each stage and command may import at its start.
USED = {
    "split": NOTHING,
    "pretrained": NETWORK,
    "untrained": NETWORK,
    "train": NETWORK,
    "live": NOTHING,
    "evaluate": NETWORK,
    "cams": NOTHING,
    "compare": NOTHING,
    "track": NOTHING,  # it reads the files first
    "gate": NOTHING,  # it refuses before it asks MLflow
    "repro": NOTHING,
}
# Each command is imported in a process of its own, which begins with the slow modules that it may import anyway.
LOADED = """
import os, sys
slow, commands = (words.split() for words in sys.argv[1:])
for name in slow:
    __import__(name)
for command in commands:
    if os.fork() == 0:
        __import__(f"pipeline.{command}")
        print(command, *sys.modules, flush=True)
        os._exit(0)
    assert os.wait()[1] == 0, command
"""


@cache
def loaded(used):
    """All modules that each command imports at its start which may import these slow ones."""
    commands = [command for command, slow in USED.items() if slow == used]
    code = [sys.executable, "-c", LOADED, " ".join(used), " ".join(commands)]
    child = subprocess.run(code, cwd=ROOT, capture_output=True, text=True, check=True)
    return {command: {*modules} for command, *modules in map(str.split, child.stdout.splitlines())}


@pytest.mark.parametrize("stage", sorted(STAGES.keys() - UNCACHED))
def test_nothing_else_is_loaded(stage):
    file = command_file(stage)
    command = Path(file).stem
    files = {found for name in loaded(USED[command])[command] if (found := file_of(name))}
    known = closure(file) | PLUMBING | {found for plumbing in PLUMBING for found in imports(plumbing)}
    known |= {found for settings in SETTINGS for found in closure(settings)}
    assert {file for file in files if not file.endswith("/__init__.py")} <= known


@pytest.mark.parametrize("command", USED)
def test_what_takes_long_to_import_is_imported_by_those_who_use_it_alone(command):
    assert SLOW & loaded(USED[command])[command] <= USED[command]


def test_training_depends_on_no_picture_metric_or_annotation():
    forbidden = ("figures", "metrics", "ingest", "localization", "track", "compare", "cams")
    for stage in ("pretrained", "train"):
        assert not [dep for dep in declared(stage) if any(word in dep for word in forbidden)]
        assert "data/split/manifest.json" not in STAGES[stage]["deps"]  # it holds the boxes
