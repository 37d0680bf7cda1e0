"""A registered champion with a real network: loaded, served, and used by the command."""

import base64
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from acol.errors import InputError
from pipeline import predict as command
from pipeline.tracking.registry import load_predictor
from pipeline.tracking.store import open_existing, store_uri
from tests.conftest import free_port, wait_for_server

pytestmark = pytest.mark.usefixtures("mlflow_environment")


def checkpoint_of(project: Path) -> str:
    (path,) = project.glob("models/*/best.pt")
    return str(path)


def photograph(seed: int, size: tuple[int, int] = (80, 60)) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1] // 10, size[0] // 10, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize(size)


def png(seed: int) -> bytes:
    file = io.BytesIO()
    photograph(seed).save(file, "PNG")
    return file.getvalue()


def test_the_champion_predicts_as_its_checkpoint_does(registered: Path) -> None:
    champion = load_predictor("models:/acol@champion", registered)
    checkpoint = load_predictor(str(registered), registered)  # the one best.pt in this folder
    assert (champion.tau, champion.scales) == (checkpoint.tau, checkpoint.scales) == (0.4, (1.0,))
    one, other = champion.predict([photograph(1)])[0], checkpoint.predict([photograph(1)])[0]
    assert one.probabilities == other.probabilities
    assert one.box == other.box
    assert {*one.probabilities} == {"keeper", "referee"}


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        ("models:/acol@nobody", "models:/acol@nobody: no such model; correct the name"),
        ("models:/none/1", "models:/none/1: no such model"),
        ("models:/", "models:/: not a registered model; write models:/NAME@ALIAS or models:/NAME/VERSION"),
        ("best.pt", "best.pt: no such file"),
    ],
)
def test_a_model_that_is_not_there_is_named(model: str, problem: str, registered: Path) -> None:
    with pytest.raises(InputError, match=problem):
        load_predictor(model, registered)


def test_a_folder_of_no_or_several_models_is_told_them(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r": a folder; it holds no best.pt; name a checkpoint"):
        load_predictor(str(tmp_path), tmp_path)
    files = [tmp_path / "models" / cell / "best.pt" for cell in ("a", "b")]
    for file in files:
        file.parent.mkdir(parents=True)
        file.touch()
    with pytest.raises(InputError, match=f": a folder; name one of {files[0]}, {files[1]}$"):
        load_predictor(str(tmp_path), tmp_path)


@pytest.mark.parametrize("lost", [".", "acol/models"])
def test_a_champion_whose_files_are_lost_is_told(lost: str, registered: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(registered, tmp_path / "project"))
    shutil.rmtree(root / "mlartifacts" / lost)
    problem = "models:/acol@champion: MLflow has it, but its files are gone; run `dvc repro` and `acol gate`"
    with pytest.raises(InputError, match=problem):
        load_predictor("models:/acol@champion", root)


def test_without_a_store_none_is_made(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"mlflow.db: no such file; run `dvc repro` first"):
        load_predictor("models:/acol@champion", tmp_path)
    assert not [*tmp_path.iterdir()]


def test_mlflow_loads_the_champion_and_takes_every_kind_of_image(
    registered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])  # MLflow puts the model's own code there
    open_existing(registered)
    model = mlflow.pyfunc.load_model("models:/acol@champion")
    file = tmp_path / "a.png"
    file.write_bytes(png(1))
    images = [base64.b64encode(png(1)).decode(), png(1), file, np.asarray(photograph(1))]
    answers = model.predict(pd.DataFrame({"image": pd.Series(images, dtype=object)}))
    expected = load_predictor("models:/acol@champion", registered).predict([photograph(1)])[0]
    for answer in answers.to_dict("records"):
        assert answer["probabilities"] == expected.probabilities
        assert tuple(answer[edge] for edge in ("x0", "y0", "x1", "y1")) == expected.box
        score_map = np.asarray(Image.open(io.BytesIO(base64.b64decode(answer["map"]))))
        np.testing.assert_array_equal(score_map, np.rint(expected.map * 255))


def test_mlflow_predicts_from_the_command_line(registered: Path, tmp_path: Path) -> None:
    request, answer = tmp_path / "in.json", tmp_path / "out.json"
    request.write_text(json.dumps(table(base64.b64encode(png(1)).decode())))
    mlflow_command(registered, "predict", "-i", request, "-o", answer, "-t", "json").wait(120)
    assert {*json.loads(answer.read_text())["predictions"][0]["probabilities"]} == {"keeper", "referee"}


def table(*images: object) -> dict[str, Any]:
    return {"dataframe_records": [{"image": image} for image in images]}


def mlflow_command(root: Path, *arguments: object) -> "subprocess.Popen[bytes]":
    name, *rest = arguments
    programs = Path(sys.executable).parent
    program = [programs / "mlflow", "models", name, "-m", "models:/acol@champion"]
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return subprocess.Popen(
        [*map(str, [*program, "--env-manager", "local", *rest])],
        env={**os.environ, "MLFLOW_TRACKING_URI": store_uri(root), "PATH": path},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


@pytest.fixture
def server(registered: Path) -> Iterator[str]:
    port = free_port()
    process = mlflow_command(registered, "serve", "-p", port)
    try:
        wait_for_server(process, f"http://127.0.0.1:{port}/ping")
        yield f"http://127.0.0.1:{port}/invocations"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def ask(server: str, body: object) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(server, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_a_served_champion_answers_and_reads_no_file_of_its_server(
    server: str, registered: Path, tmp_path: Path
) -> None:
    good = base64.b64encode(png(1)).decode()
    status, answer = ask(server, table(good, base64.b64encode(png(2)).decode()))
    assert status == 200
    expected = load_predictor("models:/acol@champion", registered).predict([photograph(1), photograph(2)])
    for served, local in zip(answer["predictions"], expected, strict=True):
        assert served["label"] == local.label
        assert served["probabilities"] == pytest.approx(local.probabilities)
        assert [served[edge] for edge in ("x0", "y0", "x1", "y1")] == list(local.box)
        assert Image.open(io.BytesIO(base64.b64decode(served["map"]))).size == (80, 60)
    (tmp_path / "secret.png").write_bytes(png(3))
    for bad in (str(tmp_path / "secret.png"), f"file://{tmp_path}/secret.png", 7, None, {"path": "/etc/passwd"}):
        status, answer = ask(server, table(good, bad))
        assert status == 400, bad
        assert "row 1: " in answer["message"]
        assert "Traceback" not in json.dumps(answer)


def run_command(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["predict", *map(str, arguments)])
    try:
        command.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_the_command_writes_an_overlay_a_map_and_a_line_for_each_image(
    registered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(registered)
    files = [tmp_path / "a" / "one.png", tmp_path / "b" / "one.png", tmp_path / f"{'ä' * 120}.png"]
    for number, file in enumerate(files):
        file.parent.mkdir(exist_ok=True)
        photograph(number, (80, 60) if number else (2000, 100)).save(file)
    assert run_command(monkeypatch, *files, "--out", tmp_path / "new" / "out") == 0
    table = [line.split() for line in capsys.readouterr().out.splitlines()[1:-1]]
    out = tmp_path / "new" / "out"
    rows = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
    assert [row["path"] for row in rows] == [str(file) for file in files]
    assert table == [
        [row["path"], row["label"], f"{row['probability']:.3f}", *(f"{value:.0f}" for value in row["box"])]
        for row in rows
    ]
    predictor = load_predictor("models:/acol@champion", registered)
    for row, file, size in zip(rows, files, [(1024, 51), (80, 60), (80, 60)], strict=True):
        expected = predictor.predict([Image.open(file)])[0]
        assert row["label"] == expected.label
        assert row["probability"] == expected.probability == row["probabilities"][row["label"]]
        assert row["box"] == list(expected.box)
        assert Image.open(out / row["overlay"]).size == Image.open(out / row["map"]).size == size
        assert Image.open(out / row["map"]).mode == "L"
    assert Image.open(out / "contact-sheet.jpg").size == (3 * command.TILE, command.TILE)
    assert len([*out.iterdir()]) == 8
    assert run_command(monkeypatch, files[0], "--out", tmp_path / "other", "--model", checkpoint_of(registered)) == 0
    again = json.loads((tmp_path / "other" / "predictions.jsonl").read_text())
    assert again == rows[0]


def test_all_bad_images_are_named_and_nothing_is_written(
    registered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(registered)
    photograph(0).save(tmp_path / "good.png")
    (tmp_path / "text.png").write_text("no image")
    names = ["good.png", "text.png", "none.png"]
    assert run_command(monkeypatch, *(tmp_path / name for name in names), "--out", tmp_path / "out") == 2
    assert capsys.readouterr().err.splitlines() == [
        f"error: {tmp_path}/text.png: not an image; replace it or remove it",
        f"error: {tmp_path}/none.png: cannot be opened (No such file or directory); check its path and permissions",
    ]
    assert run_command(monkeypatch, tmp_path / "good.png", "--out", tmp_path) == 2
    assert "exists and is not an empty folder; name a new one" in capsys.readouterr().err
    assert run_command(monkeypatch, tmp_path / "good.png", "--out", tmp_path / "out", "--model", "models:/x/1") == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["good.png", "text.png"]
