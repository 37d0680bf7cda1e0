"""Make a project of one's own, which runs the installed package: settings, stages, and DVC around them.

`acol init [DIR] [--images FOLDER]` writes the files, and starts git and DVC in DIR. What the images are is found as by
`acol look`. Files that are there stay as they are.
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
from acol.ingest.layout import files_below
from pipeline import cli, installed
from pipeline.installed import CODE, INSTALLED, code_in, packaged
from pipeline.look import find, section

TEMPLATES = Path(__file__).with_name("project")
ALWAYS = "always/dvc.yaml"  # has a lock file of its own, which is written whenever its stages have run
RUN_FIRST = {"wdir": "..", "cmd": "python -m pipeline.installed", "always_changed": True}


def stages() -> str:
    """Return the dvc.yaml of the clone with keys of `INSTALLED` in the place of its code."""
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


def stages_of_each_run() -> str:
    """Return the stages that run each time: what code there is comes first, and `track` comes last."""
    yaml, text = YAML(), io.StringIO()
    content = yaml.load(CODE / "pipeline/tracking/dvc.yaml")
    content["stages"]["track"]["wdir"] = ".."
    content["stages"]["installed"] = RUN_FIRST | {"outs": [{INSTALLED: {"cache": False, "persist": True}}]}
    yaml.dump(content, text)
    return text.getvalue()


def images_in(root: Path) -> Path | None:
    """Return the one folder in a folder that holds images, None if none does. Raises `InputError` for several."""
    folders = [folder for folder in (sorted(root.iterdir()) if root.is_dir() else []) if folder.is_dir()]
    found = [folder for folder in folders if any(files_below(folder, EXTENSIONS))]
    if len(found) > 1:
        raise InputError(f"{root}: several folders with images, such as {found[0].name}; name one by --images FOLDER")
    return found[0] if found else None


def settings(root: Path, images: Path | None) -> str:
    """Return params.yaml for images, or for those that the user will put into `photos`."""
    text = (TEMPLATES / "params.yaml").read_text(encoding="utf-8")
    if images is None:
        return text
    data, reading = find(images)
    print(reading.summary())
    whole, top = images.resolve(), root.resolve()
    data["path"] = os.path.relpath(whole, top) if whole.is_relative_to(top) else str(whole)
    batch = min(32, len(reading.manifest.of("train")))
    line = next(line for line in text.splitlines(keepends=True) if line.startswith("data: "))
    return text.replace(line, section(data)).replace("batch_size: 32", f"batch_size: {batch}")


def make(root: Path, images: Path | None) -> None:
    """Write the project's files, and start git and DVC in its folder."""
    inside = images is not None and images.resolve().parent == root.resolve()
    own = f"/{images.name}/\n" if images and inside else "/photos/\n"
    files = {
        "params.yaml": settings(root, images),
        "dvc.yaml": stages(),
        ALWAYS: stages_of_each_run(),
        "MLproject": packaged("MLproject").read_text(encoding="utf-8").replace("`make setup`", "acol[pipeline]"),
        ".gitignore": packaged(".gitignore").read_text(encoding="utf-8") + "# The images.\n" + own,
        "README.md": (TEMPLATES / "README.md").read_text(encoding="utf-8"),
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        if not (root / name).exists():
            (root / name).write_text(text, encoding="utf-8")
    installed.write(root)
    in_git = ["git", "rev-parse", "--show-cdup"]
    if shutil.which("git") and subprocess.run(in_git, cwd=root, capture_output=True, check=False).returncode:
        subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    _start_dvc(root)


def _start_dvc(root: Path) -> None:
    from dvc.repo import Repo

    with_git = bool(shutil.which("git"))
    with Repo.init(str(root), no_scm=not with_git, subdir=with_git and not (root / ".git").exists()) as repo:
        cache = root.resolve() / ".dvc" / "site-cache"  # the user's alone: DVC's own place for it is open to all users
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
    if (root / "dvc.yaml").exists() or (root / ".dvc").exists():
        raise InputError(f"{root}: is a project already; name another folder")
    told = (root / "params.yaml").exists()  # which images
    images = arguments.images or (None if told else images_in(root))
    make(root, images)
    first = [] if told or images else ["put a folder of images for each class into photos/"]
    place = [] if root == Path() else [f"cd {root}"]
    print("Next:", ", ".join([*place, *first, "dvc repro", "acol report"]))


if __name__ == "__main__":
    main()
