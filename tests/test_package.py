"""The wheel, installed without extras: the library alone, with what it declares to need and nothing else."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
SITE = Path(metadata.distribution("torch").locate_file(""))
README = (ROOT / "README.md").read_text(encoding="utf-8")
CLASSIFIERS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["classifiers"]
PYTHONS = [line.rpartition(" ")[2] for line in CLASSIFIERS if "Python :: 3." in line]


def closure(requirements):
    """The names of the installed distributions that these requirements bring, and those that they bring, and so on."""
    seen, todo = set(), [Requirement(text) for text in requirements]
    while todo:
        requirement = todo.pop()
        if any(applies(requirement, extra) for extra in ("", *requirement.extras)):
            key = (requirement.name.lower().replace("_", "-"), *sorted(requirement.extras))
            if key in seen:
                continue
            seen.add(key)
            for text in metadata.requires(requirement.name) or []:
                needed = Requirement(text)
                if any(applies(needed, extra) for extra in ("", *requirement.extras)):
                    needed.marker = None
                    todo.append(needed)
    return {name for name, *_ in seen}


def applies(requirement, extra):
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def declared(wheel, extra=""):
    """What the wheel says that it needs, with an extra or with none."""
    needed = [Requirement(text) for text in metadata.Distribution.at(wheel).requires]
    needed = [one for one in needed if applies(one, extra)]
    for one in needed:
        one.marker = None
    return [str(one) for one in needed]


def uv(*arguments):
    done = subprocess.run(
        [Path(sys.executable).with_name("uv"), "--offline", *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel, built of a copy of the sources by the locked setuptools."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("acol", "pipeline"):
        shutil.copytree(ROOT / name, folder / "source" / name, symlinks=True)
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore", "MLproject", "dvc.yaml"):
        shutil.copy(ROOT / name, folder / "source")
    uv("build", "--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", str(folder),
       str(folder / "source"))  # fmt: skip
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def environment(built, tmp_path_factory):
    """A fresh environment with the wheel; links stand in for downloading the gigabytes that it declares to need."""
    folder = tmp_path_factory.mktemp("environment")
    uv("venv", "--python", sys.executable, str(folder))
    uv("pip", "install", "--no-deps", "--python", str(folder), str(built))
    (site,) = folder.glob("lib/*/site-packages")
    (installed,) = site.glob("acol-*.dist-info")
    for name in closure(declared(installed)):
        for part in {file.parts[0] for file in metadata.files(name)} - {"..", "__pycache__"}:
            if not (site / part).exists():
                (site / part).symlink_to(SITE / part)
    return folder


def run(environment, *command):
    outside = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
    return subprocess.run(
        [environment / "bin" / command[0], *command[1:]], cwd=environment, env=outside, capture_output=True, text=True
    )


def test_the_readmes_library_snippet_runs_with_the_library_alone(environment):
    (snippet,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    tools = ("dvc", "fastapi", "kfp", "mlflow", "pydantic", "pytest")
    check = f"import importlib.util as u\nprint(*(name for name in {tools} if u.find_spec(name)))\n"
    done = run(environment, "python", "-c", check + snippet)
    assert done.returncode == 0, done.stderr
    tools_found, *said = done.stdout.splitlines()
    assert tools_found == ""
    assert said == ["torch.Size([2, 224, 224])"]


def test_every_module_of_the_library_is_imported_with_what_it_declares_alone(environment):
    names = "(found.name for found in pkgutil.walk_packages(acol.__path__, 'acol.'))"
    done = run(environment, "python", "-c", f"import acol, pkgutil\nfor name in {names}: __import__(name); print(name)")
    assert done.returncode == 0, done.stderr
    assert {"acol.ingest.folder", "acol.prediction.export"} <= {*done.stdout.split()}


@pytest.mark.parametrize("version", PYTHONS)
def test_the_lock_resolves_for_each_python(version, tmp_path):
    target = ["--target", str(tmp_path / "none"), "--python-version", version, "--dry-run"]
    everything = [
        "--requirements",
        "pyproject.toml",
        "--all-extras",
        "--group",
        "build",
        "--group",
        "dev",
        "--group",
        "release",
    ]
    lock = ["--require-hashes", "--constraint", "requirements.lock"]
    uv_here = Path(sys.executable).with_name("uv")
    done = subprocess.run(
        [uv_here, "pip", "install", *target, *lock, *everything], cwd=ROOT, capture_output=True, text=True
    )
    if re.search("Failed to fetch|error sending request|tcp connect|dns error", done.stderr):
        pytest.skip(f"the registry cannot be reached: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr


def test_continuous_integration_tests_each_python():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    assert jobs["test"]["strategy"]["matrix"]["python"] == PYTHONS


def test_the_workflows_are_safe():
    done = subprocess.run(
        [Path(sys.executable).with_name("zizmor"), "--offline", ".github"], cwd=ROOT, capture_output=True
    )
    assert done.returncode == 0, done.stdout.decode()


@pytest.mark.parametrize(
    ("there", "taken"),
    [
        ({"python3.13": 13, "python3.14": 14}, "python3.13"),
        ({"python3.12": None, "python3.14": 14}, "python3.14"),  # a name without a Python behind it, as pyenv has them
        ({"python3": 12}, "python3"),
        ({"python3": 10, "python3.15": 15}, None),
    ],
)
def test_make_takes_the_first_python_that_is_there_and_says_which(there, taken, tmp_path):
    for name, minor in there.items():
        asked = f"exec {sys.executable} -c 'import sys; sys.version_info = (3, {minor}); exec(sys.argv[1])' \"$2\""
        (tmp_path / name).write_text(f"#!/bin/sh\n{'exit 127' if minor is None else asked}\n")
        (tmp_path / name).chmod(0o755)
    for file in ("Makefile", "requirements.lock"):
        shutil.copy(ROOT / file, tmp_path)
    make = [shutil.which("make"), "--dry-run", "--always-make", "setup"]
    done = subprocess.run(make, cwd=tmp_path, env={"PATH": str(tmp_path)}, capture_output=True, text=True)
    if taken is None:
        (line,) = done.stderr.splitlines()
        assert "Python 3.11 to 3.14" in line
        assert done.returncode == 2
    else:
        assert f"Setting up .venv with {taken}," in done.stdout
        assert f"\n{taken} -m venv .venv\n" in done.stdout


@pytest.mark.parametrize("target", ["setup", "serve-setup", "cluster", "test-setup"])
def test_the_lock_holds_what_setup_asks_for(target):
    outside = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    make = ["make", "--dry-run", "--always-make", target]
    planned = subprocess.run(make, cwd=ROOT, env=outside, capture_output=True, text=True, check=True).stdout
    installs = [shlex.split(line)[1:] for line in planned.splitlines() if line.startswith("uv pip install --require")]
    assert installs
    for install in installs:  # of what is installed here already, so that nothing is downloaded
        uv(*install, "--dry-run", "--python", sys.executable)


def test_the_command_says_what_to_install(environment):
    done = run(environment, "acol", "train", "photos")
    assert done.returncode == 2
    assert done.stderr.startswith("error: acol train needs ")
    assert done.stderr.endswith("; pip install 'acol[pipeline]'\n")


def test_the_wheel_holds_every_module_and_the_files_beside_them(environment):
    (site,) = environment.glob("lib/*/site-packages")
    for name in ("acol", "pipeline"):
        sources = {file.relative_to(ROOT) for file in (ROOT / name).rglob("*") if file.is_file()}
        sources = {file for file in sources if "__pycache__" not in file.parts and file.stem != "dvc"}  # DVC's own
        assert [file for file in sorted(sources) if not (site / file).is_file()] == []


def test_the_image_gets_no_development_tools(environment):
    (installed,) = environment.glob("lib/*/site-packages/acol-*.dist-info")
    needed = [need for extra in ("pipeline", "serve", "cluster") for need in declared(installed, extra)]
    needed = [need for need in needed if not need.startswith("acol[")]
    assert not closure(needed) & {"hypothesis", "import-linter", "moto", "mypy", "playwright", "pytest", "ruff"}
    assert "--group" not in (ROOT / "Dockerfile").read_text()
