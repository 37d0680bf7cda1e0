import errno
import os
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from runpy import run_module

import numpy as np
import pytest
import torch

from pipeline import cli
from tests.conftest import wait_for

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
        time.sleep(600)
    finally:
        Path("cleaned").touch()
main()
"""
# What it may be doing for seconds before: importing.
STARTING = """
import time
from pathlib import Path
Path("starting").touch()
while not Path("go").exists():
    time.sleep(0.05)
"""
# DVC runs a stage by a shell: bash gives way to the command, Debian's sh stays and waits for it.
DVC = """
import os, subprocess, sys
subprocess.run(["sh", "-c", sys.argv[1]], env=os.environ | {"DVC_STAGE": "split"})
"""


PRINTING = """
from pipeline import cli
@cli.main
def main():
    for _ in range(100_000):
        print("a line")
main()
"""


def test_a_reader_that_has_enough_ends_it_without_a_word(tmp_path):
    (tmp_path / "printing.py").write_text(PRINTING)
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} printing.py | true"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("", "")


def _numpy_full():
    np.empty((2**40, 2**12))


def _torch_full():
    torch.empty(2**50)


def _gpu_full():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 MiB. GPU 0 has 8 GiB. " + "More. " * 99)


def _cudnn_full():
    raise RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")


@pytest.mark.parametrize("full", [_numpy_full, _torch_full, _gpu_full, _cudnn_full])
def test_too_little_memory_is_one_line_with_what_to_lower(full, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["pipeline/train.py", "lite0", "pn-0.9", "--more"])
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    with pytest.raises(SystemExit) as ended:
        cli.main(full)()
    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 1
    assert line.startswith("error: train lite0 pn-0.9: ")
    assert "lower train.batch_size, evaluate.batch_size or image.size" in line
    assert len(line) < 500


def test_a_full_disk_is_one_line_also_without_a_files_name(monkeypatch, capsys):
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)

    def write():
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(SystemExit) as ended:
        cli.main(write)()
    assert ended.value.code == 1
    assert capsys.readouterr().err == f"error: {Path.cwd()}: No space left on device; fix this and repeat the command\n"


def _faulty():
    torch.zeros(2).view(3)


def test_other_faults_keep_their_traceback(monkeypatch):
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    with pytest.raises(RuntimeError, match="shape"):
        cli.main(_faulty)()


@pytest.mark.parametrize("command", [f"exec {sys.executable} stage.py", f"{sys.executable} stage.py; exit $?"])
def test_a_stage_does_not_outlive_a_killed_dvc(command, tmp_path):
    (tmp_path / "stage.py").write_text(STAGE)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", DVC, command], cwd=tmp_path, env=environment) as dvc:
        wait_for((tmp_path / "begun").exists, 60)
        dvc.kill()
        wait_for((tmp_path / "cleaned").exists, 60)  # while the dead DVC is yet a zombie


def test_a_stage_that_was_starting_when_dvc_was_killed_does_no_work(tmp_path):
    (tmp_path / "stage.py").write_text(STARTING + STAGE)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", DVC, f"{sys.executable} stage.py; echo $? > status"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, start_new_session=True) as dvc:
        wait_for((tmp_path / "starting").exists, 60)
        dvc.kill()
    (tmp_path / "go").touch()
    wait_for((tmp_path / "status").exists, 60)
    assert (tmp_path / "status").read_text() == "143\n"
    assert not (tmp_path / "begun").exists()


@pytest.mark.parametrize("command", [["stage.py"], ["-m", "pipeline.train", "resnet18", "p"]])
def test_ctrl_c_ends_in_one_line(command, tmp_path):
    (tmp_path / "stage.py").write_text(STAGE)
    (tmp_path / "torch.py").write_text(STARTING)  # stands before torch on the path: the stage imports and imports
    with subprocess.Popen(
        [sys.executable, *command],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    ) as stage:
        wait_for((tmp_path / ("starting" if "-m" in command else "begun")).exists, 60)
        stage.send_signal(signal.SIGINT)
        assert stage.communicate(timeout=60)[1] == "interrupted\n"
        assert stage.returncode == 130
    assert (tmp_path / "cleaned").exists() == (tmp_path / "begun").exists()


@pytest.mark.parametrize("stage", ["check", "split", "compare", "track", "gate"])
@pytest.mark.parametrize(("option", "status"), [("--help", 0), ("--misspelt", 2), ("more", 2)])
def test_an_argument_never_starts_a_command_that_takes_none(stage, option, status, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # a command that starts fails here: there is no params.yaml
    monkeypatch.setattr(sys, "argv", [stage, option])
    with pytest.raises(SystemExit) as end:
        import_module(f"pipeline.{stage}").main()
    assert end.value.code == status
    assert "usage" in "".join(capsys.readouterr())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("module", ["pipeline.installed", "pipeline.live"])
def test_help_of_the_small_commands(module, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [module, "--help"])
    with pytest.raises(SystemExit) as end:
        run_module(module, run_name="__main__", alter_sys=True)
    assert end.value.code == 0
    assert "usage" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
