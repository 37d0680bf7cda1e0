"""The view of the cells in the real MLflow UI, whose format of a view is its own affair."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest

from pipeline import ui
from pipeline.track import track
from pipeline.tracking import packaged_model
from pipeline.tracking.store import Store
from tests.conftest import free_port, wait_for_server

CHECKOUT = Path(__file__).parents[2]
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update --disable-sync"
CELLS = ["tiny-p", "tiny-pn-0.6", "tiny-pn-0.9"]


@pytest.fixture(scope="module")
def page_of_the_cells(
    tmp_path_factory: pytest.TempPathFactory,
    initialised_store: Path,
    cell_writer: Callable[[Path], Callable[..., None]],
) -> Iterator[str]:
    """The address that `pipeline.ui` names, where it serves a project of three cells, of the best last."""
    project = tmp_path_factory.mktemp("served")
    shutil.copy(initialised_store, project / "mlflow.db")
    for number, cell in enumerate(CELLS, 1):
        cell_writer(project)(cell, found=[True] * number + [False] * (4 - number))
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("MLFLOW_TRACKING_URI", raising=False)
        patched.setattr(packaged_model, "log_model", lambda *_, **__: None)
        track(CELLS, project, "acol")
    mlflow.set_tracking_uri(None)
    shutil.copy(CHECKOUT / "params.yaml", project)
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "pipeline.ui", "--port", str(port)],
        cwd=project,
        env={"PATH": "", "PYTHONPATH": str(CHECKOUT), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert server.stdout is not None
        address = server.stdout.readline().removeprefix("the cells: ").strip()
        assert address.startswith(f"http://127.0.0.1:{port}/#/experiments/")
        wait_for_server(server, f"http://127.0.0.1:{port}/health")
        yield address
    finally:
        server.terminate()
        server.communicate()


def test_the_page_shows_the_cells_by_score_and_charts_them_against_delta(page_of_the_cells: str) -> None:
    if not CHROMIUM.exists():
        pytest.skip(f"no Chromium at {CHROMIUM}: the view is not tried in a browser")
    sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright to drive a browser")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=[*FLAGS.split(), "--no-first-run"])
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        context.set_default_timeout(120_000)
        page: Any = context.new_page()
        page.goto(page_of_the_cells)
        cells = page.get_by_role("link", name=re.compile("^tiny"))
        cells.nth(2).wait_for()
        assert cells.all_inner_texts()[:3] == [*reversed(CELLS)]
        columns = page.get_by_role("columnheader").all_inner_texts()
        assert {"max_box_acc_v2", "backbone", "letters", "delta_1", "seed"} <= {name.strip() for name in columns}
        page.close()
        page = context.new_page()  # in an open one the first view's own address could come after this one
        page.goto(f"{page_of_the_cells}&compareRunsMode=CHART")
        page.get_by_text("delta_1 vs. max_box_acc_v2").wait_for()
        browser.close()


def test_of_a_server_it_only_names_the_page(page_of_the_cells: str) -> None:
    uri, _, page = page_of_the_cells.partition("/#/")
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.ui"],
        cwd=CHECKOUT,
        env={"PATH": "", "MLFLOW_TRACKING_URI": f"{uri}/"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"the cells: {uri}/#/{page}\n", "")


def test_the_address_shows_no_password(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(ui, "open_store", lambda *_: Store("https://me:secret@host", None, "7"))  # type: ignore[arg-type]
    monkeypatch.chdir(CHECKOUT)
    monkeypatch.setattr("sys.argv", ["ui"])
    ui.main()
    assert capsys.readouterr().out.startswith("the cells: https://me:***@host/#/experiments/7/")
