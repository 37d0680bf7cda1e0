"""init: makes a project that runs the installed package: its settings, its stages, git and DVC.

`acol init [DIR] [--images FOLDER]` writes the files into DIR, and starts git and DVC there. The settings of the images
are those that `acol look` proposes. Existing files stay as they are.
"""

import io
import os
import re
import shutil
import subprocess
from pathlib import Path

from ruamel.yaml import YAML

from acol.data.images import EXTENSIONS
from acol.errors import InputError
from acol.files import atomic_write
from acol.ingest.layout import files_below
from pipeline import cli, installed
from pipeline.installed import CODE, INSTALLED, code_in, packaged
from pipeline.look import find, section

TEMPLATES = Path(__file__).with_name("project")
ALWAYS = "always/dvc.yaml"  # the stages that run each time; DVC then writes only the lock file beside it
RUN_FIRST = {"wdir": "..", "cmd": "python -m pipeline.installed", "always_changed": True}


def dvc_yaml() -> str:
    """Return the dvc.yaml of this project, with keys of `INSTALLED` instead of its folders and files of code."""
    yaml, text = YAML(), io.StringIO()
    yaml.width = 120
    content = yaml.load(packaged("dvc.yaml"))
    for stage in content["stages"].values():
        if code := code_in(stage["deps"]):
            stage["deps"][:] = [dep for dep in stage["deps"] if not code_in([dep])]
            stage.setdefault("params", []).append({INSTALLED: code})
    yaml.dump(content, text)
    of_the_clone = re.compile(r"# Each import.*?\n(?=stages:)", re.DOTALL)
    return of_the_clone.sub(f"# {INSTALLED} says which code they run.\n", text.getvalue()).replace("make ui", "acol ui")


def always_dvc_yaml() -> str:
    """Return the stages that run each time: first `installed`, which says which code there is, and `track` last."""
    yaml, text = YAML(), io.StringIO()
    content = yaml.load(CODE / "pipeline/tracking/dvc.yaml")
    content["stages"]["track"]["wdir"] = ".."
    content["stages"]["installed"] = RUN_FIRST | {"outs": [{INSTALLED: {"cache": False, "persist": True}}]}
    yaml.dump(content, text)
    return text.getvalue()


def images_in(root: Path) -> Path | None:
    """Return the one folder of images in `root`; None if there is none. Raises `InputError` if there are several."""
    folders = [folder for folder in (sorted(root.iterdir()) if root.is_dir() else []) if folder.is_dir()]
    of_images = [folder for folder in folders if any(files_below(folder, EXTENSIONS))]
    if len(of_images) > 1:
        some = of_images[0].name
        raise InputError(f"{root}: several folders with images, such as {some}; name one by --images FOLDER")
    return of_images[0] if of_images else None


def params_yaml(root: Path, images: Path | None) -> str:
    """Return params.yaml for a folder of images. Without one, the user will put images into `photos`."""
    text = (TEMPLATES / "params.yaml").read_text(encoding="utf-8")
    if images is None:
        return text
    data, reading = find(images)
    print(reading.summary())
    # A path within the project stays right when the project moves.
    place, top = images.resolve(), root.resolve()
    data["path"] = os.path.relpath(place, top) if place.is_relative_to(top) else str(place)
    batch = min(32, len(reading.manifest.of("train")))
    line = next(line for line in text.splitlines(keepends=True) if line.startswith("data: "))
    return text.replace(line, section(data)).replace("batch_size: 32", f"batch_size: {batch}")


def make_project(root: Path, images: Path | None) -> None:
    """Start git and DVC in the project's folder, and write its files, dvc.yaml last.

    So the same command completes what an interrupted one left undone.
    """
    inside = images is not None and images.resolve().parent == root.resolve()
    own = f"/{images.name}/\n" if images and inside else "/photos/\n"
    files = {
        "params.yaml": params_yaml(root, images),
        ALWAYS: always_dvc_yaml(),
        "MLproject": packaged("MLproject").read_text(encoding="utf-8").replace("`make setup`", "acol[pipeline]"),
        ".gitignore": packaged(".gitignore").read_text(encoding="utf-8") + "# The images.\n" + own,
        "README.md": (TEMPLATES / "README.md").read_text(encoding="utf-8"),
        "dvc.yaml": dvc_yaml(),
    }
    root.mkdir(parents=True, exist_ok=True)
    if shutil.which("git"):
        _start_git(root)
    if not (root / ".dvc").exists():
        _start_dvc(root)
    installed.write_hashes(root)
    for name, text in files.items():
        if not (root / name).exists():
            with atomic_write(root / name) as temporary:
                temporary.write_text(text, encoding="utf-8")


def _start_git(root: Path) -> None:
    """Start git in a folder that is not in a repository. Raises `InputError` if git cannot."""
    if subprocess.run(["git", "rev-parse", "--show-cdup"], cwd=root, capture_output=True, check=False).returncode:
        started = subprocess.run(["git", "init", "--quiet"], cwd=root, capture_output=True, text=True, check=False)
        if started.returncode:
            raise InputError(
                f"{root}: git init: {' '.join(started.stderr.split())}; correct that, and repeat the command"
            )


def _start_dvc(root: Path) -> None:
    """Start DVC in a folder, with a cache that is private to the user and without DVC's messages about itself.

    Raises `InputError` if DVC cannot, such as in a folder that git ignores.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    with_git = bool(shutil.which("git"))
    try:
        started = Repo.init(str(root), no_scm=not with_git, subdir=with_git and not (root / ".git").exists())
    except DvcException as error:
        raise InputError(f"{root}: dvc init: {' '.join(str(error).split())}") from None
    with started as repo:
        cache = root.resolve() / ".dvc" / "site-cache"  # DVC's default place is open to all users
        cache.mkdir(exist_ok=True)
        cache.chmod(0o700)
        with (cache.parent / ".gitignore").open("a") as ignored:
            ignored.write(f"/{cache.name}\n")
        with repo.config.edit("repo") as shared, repo.config.edit("local") as local:
            shared["core"] = {**shared.get("core", {}), "analytics": False, "check_update": False}
            local["core"] = {"site_cache_dir": str(cache)}


@cli.main
def main() -> None:
    """Make a project in the folder of the command line."""
    parser = cli.parser("pipeline.init", "Make a project that finds the best backbone and recipe for your images.")
    parser.add_argument("folder", metavar="DIR", type=Path, nargs="?", default=Path(), help="default: this folder")
    parser.add_argument("--images", metavar="FOLDER", type=Path, help="default: the folder in DIR that holds images")
    arguments = parser.parse_args()
    root: Path = arguments.folder
    if (root / "dvc.yaml").exists():
        raise InputError(
            f"{root}: is a project already; name another folder, or remove dvc.yaml and {ALWAYS} to renew them"
        )
    has_settings = (root / "params.yaml").exists()  # they name the images
    images = arguments.images or (None if has_settings else images_in(root))
    make_project(root, images)
    steps = [] if root == Path() else [f"cd {root}"]
    steps += [] if has_settings or images else ["put a folder of images for each class into photos/"]
    print("Next:", ", ".join([*steps, "dvc repro", "acol report"]))


if __name__ == "__main__":
    main()
