"""A training on a real file system that is full, or read-only, and then is not any more."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from acol.files import sha256
from tests.faults import tiny

ROOT = Path(__file__).parents[2]


def own_mounts(script, *arguments):
    """Run a shell script that may mount file systems which nobody else sees."""
    return subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "TRAIN": f"{sys.executable} -m tests.faults.tiny"},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture
def disk(tmp_path):
    path = tmp_path / "disk"
    path.mkdir()
    try:
        permitted = own_mounts('mount -t tmpfs tmpfs "$1"', path).returncode == 0
    except FileNotFoundError:
        permitted = False
    if not permitted:
        pytest.skip("mounting a file system needs unshare and user namespaces")
    return path


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    tiny.write_images(folder)
    return folder


def left(folder):
    return {path.name: sha256(path) for path in (folder / "model").iterdir()}


def test_a_full_disk_costs_a_line_and_no_bit(images, disk, tmp_path):
    # Room for the decoded images and the first state, but not for a second beside it.
    script = """
        mount -t tmpfs -o size=5m tmpfs "$2"
        $TRAIN "$1" "$2"; echo "exit $?" >&2
        ls "$2/runs"/*/*.state | wc -l >&2
        mount -o remount,size=200m "$2"
        $TRAIN "$1" "$2"; echo "exit $?" >&2
        cp -r "$2/model" "$3"
    """
    (tmp_path / "out").mkdir()
    done = own_mounts(script, images, disk, tmp_path / "out")
    warning, error, ended, states, going_on, again = done.stderr.strip().splitlines()
    assert warning.startswith(f"warning: {disk}/runs/")
    assert warning.endswith("No space left on device; training goes on without a newer state")
    assert error.startswith(f"error: {disk}/")
    assert error.endswith("No space left on device; fix this and repeat the command")
    assert (ended, states, again) == ("exit 1", "1", "exit 0")
    assert "going on after epoch" in going_on
    command = [sys.executable, "-m", "tests.faults.tiny", images, tmp_path / "undisturbed"]
    subprocess.run(command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True)
    assert left(tmp_path / "out") == left(tmp_path / "undisturbed")


def test_a_read_only_folder_is_named(images, disk):
    script = 'mount -t tmpfs tmpfs "$2"; mount -o remount,ro "$2"; $TRAIN "$1" "$2"; echo "exit $?" >&2'
    (error, ended) = own_mounts(script, images, disk).stderr.strip().splitlines()
    assert error == f"error: {disk}/runs: Read-only file system; fix this and repeat the command"
    assert ended == "exit 1"
