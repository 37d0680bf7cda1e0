"""What the terminal says of where a grid's trainings are."""

import pytest

from pipeline.params import load_params
from pipeline.progress import announce, position_line
from tests.conftest import ROOT


@pytest.fixture
def params():
    return load_params(ROOT / "params.yaml")


def trained(root, cell, *seconds):
    (root / "timing").mkdir(exist_ok=True)
    rows = [f"{epoch},{value}" for epoch, value in enumerate(seconds, 1)]
    (root / "timing" / f"{cell.name}.csv").write_text("\n".join(["epoch,seconds", *rows]))


def test_the_time_left_is_by_the_cells_before(params, tmp_path):
    first, second, third, *_ = cells = params.cells()
    assert position_line(params, first, tmp_path) == f"cell 1 of {len(cells)}: {first.name}"
    trained(tmp_path, first, 30, 50)
    trained(tmp_path, second, 10, 30)
    trained(tmp_path, third, 1000, 1000)  # of an earlier grid: it comes later, and will be trained anew
    minutes = round((80 + 40) / 2 * (len(cells) - 2) / 60)
    expected = f"cell 3 of {len(cells)}: {third.name}; about {minutes} min left for the trainings (scoring not counted)"
    assert position_line(params, third, tmp_path) == expected
    assert position_line(params, params.cell(first.backbone, "pnpn-0.1-0.2-0.3"), tmp_path) is None


@pytest.mark.parametrize(("seconds", "text"), [(0.1, "1 s"), (85, "85 s"), (119, "2 min"), (9000, "2 h")])
def test_seconds_minutes_or_hours(params, tmp_path, seconds, text):
    first, *_, last = params.cells()
    trained(tmp_path, first, seconds)
    assert f"; about {text} left" in position_line(params, last, tmp_path)


def test_quiet_where_no_terminal_is(params, tmp_path, capsys):
    announce(params, params.cells()[0], tmp_path)
    assert capsys.readouterr().out == ""
