import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# A stage that cleans up when it is told to stop, and what started it.
STAGE = """
import time
from pathlib import Path
from pipeline import cli
@cli.main
def main():
    try:
        Path("begun").touch()
        time.sleep(60)
    finally:
        Path("cleaned").touch()
main()
"""
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {STAGE!r}])"


def wait_for(path):
    end = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent died")
def test_a_stage_does_not_outlive_a_killed_dvc(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "DVC_STAGE": "split"}
    with subprocess.Popen([sys.executable, "-c", PARENT], cwd=tmp_path, env=environment) as parent:
        wait_for(tmp_path / "begun")
        parent.kill()
    wait_for(tmp_path / "cleaned")
