"""dvc.yaml lists, for each stage, exactly the code that the stage imports."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]

# What they say reaches a stage as its params, paths and messages, which DVC watches: their code does not count.
PLUMBING = {"pipeline.params", "pipeline.cli", "pipeline.places", "pipeline.processes", "acol.errors", "acol.names"}
# It is always run, and decides from the files itself.
UNCACHED = {"track"}


def path_of(module):
    path = ROOT / module.replace(".", "/")
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def imports(module):
    """The project's modules that a module's source names in import statements."""
    for node in ast.walk(ast.parse(path_of(module).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if node.module.split(".")[0] in ("acol", "pipeline") and path_of(inner) else node.module


def closure(module, skip=frozenset()):
    seen, todo = set(), [module]
    while todo:
        name = todo.pop()
        if name.split(".")[0] not in ("acol", "pipeline") or name in seen | skip or path_of(name) is None:
            continue
        seen.add(name)
        todo += imports(name)
    return seen


def holds_code(module):
    return path_of(module).name != "__init__.py" or any(
        isinstance(node, ast.FunctionDef | ast.ClassDef | ast.ImportFrom | ast.Import)
        for node in ast.parse(path_of(module).read_text()).body
    )


def declared(stage):
    """The code in a stage's deps; the embedded data set's path is the code that draws it."""
    path = yaml.safe_load((ROOT / "params.yaml").read_text())["data"]["path"]
    deps = {dep.replace("${data.path}", path) for dep in STAGES[stage].get("deps", [])}
    return {dep for dep in deps if dep.endswith(".py") or path_of(dep.split(".")[0].replace("/", "."))}


def files_of(module):
    """A module's file, and the templates beside it, which bear its name."""
    path = path_of(module)
    return [path] if path.name == "__init__.py" else path.parent.glob(f"{path.stem}.*")


@pytest.mark.parametrize("stage", sorted(STAGES.keys() - UNCACHED))
def test_each_stage_declares_the_code_that_it_imports(stage):
    module = STAGES[stage]["cmd"].split("python -m ")[-1].split()[0]
    code = [name for name in closure(module, PLUMBING) if holds_code(name)]
    needed = {file.relative_to(ROOT).as_posix() for name in code for file in files_of(name)}
    assert declared(stage) == needed


@pytest.mark.parametrize("stage", sorted(STAGES.keys() - UNCACHED))
def test_nothing_else_is_loaded(stage):
    module = STAGES[stage]["cmd"].split("python -m ")[-1].split()[0]
    code = f"import sys, {module}; print(*(m for m in sys.modules if m.split('.')[0] in ('acol', 'pipeline')))"
    output = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    packages = {"acol", "pipeline", "acol.data", "acol.metrics"}
    assert set(output.split()) - packages <= closure(module)


@pytest.mark.parametrize(
    ("stage", "library"), [("track", "torch"), ("cams", "torchvision"), ("compare", "torchvision")]
)
def test_no_stage_waits_for_the_import_of_what_it_does_not_use(stage, library):
    code = f"import sys, pipeline.{stage}, pipeline.params; pipeline.params.load_params(); print(*sys.modules)"
    output = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert library not in output.split()


def test_training_depends_on_no_picture_metric_or_annotation():
    forbidden = ("viz", "metrics", "annotations", "evaluat", "track", "compare", "cams")
    for stage in ("pretrained", "train"):
        assert not [dep for dep in declared(stage) if any(word in dep for word in forbidden)]
        assert "data/split/manifest.json" not in STAGES[stage]["deps"]  # it holds the boxes
