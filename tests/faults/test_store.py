"""A SQLite store that many write at once, that is locked, or whose disk is full or read-only."""

import re
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

Trained = Callable[[str, Sequence[str]], Path]
HEADS = ["p", "pp-0.6", "pp-0.7", "pp-0.8", "pp-0.9", "pn-0.6", "pn-0.7", "pn-0.9"]
CELLS = [f"lite0-{head}" for head in HEADS]
CELL = CELLS[-1]
WARNING = (
    r"warning: MLflow at sqlite:///\S+ cannot be reached: [^\n]+; training goes on, and `track` completes [^\n]+\n"
)
ERROR = r"error: [^\n]+; the files are complete: run `dvc repro` again to log them\n"


def test_eight_cells_at_once_on_a_fresh_store(trained: Trained, processes: Any, expected: Any) -> None:
    project = trained("acol", HEADS)
    (project / "mlflow.db").unlink()
    folders, environments = [project] * 8, [{"CELL": cell, "SECONDS": "5"} for cell in CELLS]
    known = []
    for stages in (processes.live_and_track, processes.track):
        for done in stages(folders, environments):
            assert (done.status, done.said) == (0, "")
        known.append((project / "report" / "runs.json").read_text())
    assert known[0] == known[1]
    shown = expected.shown(project / "mlflow.db", project / "mlartifacts", "acol")
    assert shown == [expected.wanted(cell) for cell in sorted(CELLS)]


def fails_in_one_line(live: Any, track: Any) -> None:
    assert live.status == 0, live
    assert live.said == "" or re.fullmatch(WARNING, live.said), live
    assert live.seconds < 2 + 8 + 5, live
    assert track.status == 1, track
    assert re.fullmatch(ERROR, track.said), track


def test_a_store_that_another_program_has_locked(trained: Trained, processes: Any, expected: Any) -> None:
    project = trained("acol", ["pn-0.9"])
    with closing(sqlite3.connect(project / "mlflow.db", check_same_thread=False)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        (live,) = processes.live([project], [{"CELL": CELL}])
        assert live.status == 0, live
        assert live.said == "" or re.fullmatch(WARNING, live.said), live
        unlock = threading.Timer(3, connection.rollback)
        unlock.start()
        for _ in range(2):
            (track,) = processes.track([project])
            assert (track.status, track.said) == (0, "")
        unlock.join()
    assert expected.shown(project / "mlflow.db", project / "mlartifacts", "acol") == [expected.wanted(CELL)]


class Disk:
    """A disk of 20 MB, which only the processes see that run on it, with a project on it."""

    def __init__(self, processes: Any, folder: Path, project: Path) -> None:
        self._processes, self._folder, self._source = processes, folder, project
        self.project = folder / "project"
        self._on_it(f"import shutil; shutil.copytree({str(project)!r}, 'project')")

    def _on_it(self, code: str) -> None:
        (done,) = self._processes.run(code, [self._folder])
        assert (done.status, done.said) == (0, "")

    def leave(self, room: int) -> None:
        """Fill it until only so many bytes are free."""
        self._on_it(
            f"""
import re
import shutil
pathlib.Path("filler").unlink(missing_ok=True)
with open("filler", "wb") as file:
    os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(".").free - {room})
"""
        )

    def remove(self, name: str) -> None:
        self._on_it(f"os.unlink({name!r})")

    def mount(self, mode: str) -> None:
        """Make it read-only ("ro") or not ("rw")."""
        self._on_it(f'import subprocess; subprocess.run(["mount", "-o", "remount,{mode}", os.getcwd()], check=True)')

    def live(self) -> Any:
        (done,) = self._processes.live([self.project], [{"CELL": CELL}])
        return done

    def track(self) -> Any:
        (done,) = self._processes.track([self.project])
        return done

    def shown(self, expected: Any) -> Any:
        """What MLflow shows, and the ids in report/runs.json."""
        copy = self._source.with_name("copy")
        shutil.rmtree(copy, ignore_errors=True)
        self._on_it(f"import shutil; shutil.copytree('project', {str(copy)!r})")
        shown = expected.shown(copy / "mlflow.db", copy / "mlartifacts", "acol")
        return shown, (copy / "report" / "runs.json").read_text()


@pytest.fixture
def disk(tmp_path: Path, processes: Any, trained: Trained) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = 'mount -t tmpfs -o size=20m none "$0" && exec "$@"'
    seeing = type(processes)(["unshare", "-rm", "sh", "-c", mount, str(folder)])
    if not seeing.ready:
        pytest.skip("mounting a disk of our own is not permitted here")
    project = trained("acol", ["pn-0.9"])
    (project / "models" / CELL / "best.pt").write_bytes(bytes(3_000_000))
    yield Disk(seeing, folder, project)
    seeing.close()


def test_a_read_only_and_a_full_disk(disk: Disk, expected: Any) -> None:
    disk.mount("ro")
    fails_in_one_line(disk.live(), disk.track())
    disk.mount("rw")
    disk.remove("project/mlflow.db")
    disk.leave(0)
    fails_in_one_line(disk.live(), disk.track())
    for room in (300_000, 2_500_000):  # too little to make the store; for the model
        disk.leave(room)
        done = disk.track()
        assert done.status == 1, (room, done)
        assert re.fullmatch(ERROR, done.said), (room, done)
    disk.remove("filler")
    shown = []
    for _ in range(2):
        done = disk.track()
        assert (done.status, done.said) == (0, "")
        shown.append(disk.shown(expected))
    assert shown[0] == shown[1]
    assert shown[0][0] == [expected.wanted(CELL, 3_000_000)]
