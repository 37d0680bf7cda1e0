import pytest
import torch

from acol.errors import InputError
from acol.training.resume import RunState


@pytest.fixture
def state(tmp_path):
    return RunState(tmp_path / "run")


def test_nothing_yet(state):
    assert state.load() is None


def test_the_newest_comes_back(state):
    for steps in (5, 30, 200):
        state.save(steps, {"step": steps, "weights": torch.full((3,), float(steps))})
    loaded = state.load()
    assert loaded["step"] == 200
    assert loaded["weights"].tolist() == [200.0] * 3
    assert len(list(state.folder.iterdir())) == 2


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b[:40] + b"?" + b[41:], lambda b: b""])
def test_a_damaged_one_is_named_and_the_one_before_it_serves(state, damage, capsys):
    state.save(1, {"step": 1})
    state.save(2, {"step": 2})
    newest = max(state.folder.iterdir())
    newest.write_bytes(damage(newest.read_bytes()))
    assert state.load() == {"step": 1}
    assert f"{newest}: damaged" in capsys.readouterr().err


def test_cleared_is_gone(state):
    state.save(1, {"step": 1})
    state.clear()
    assert not state.folder.exists()
    state.clear()


def test_a_run_belongs_to_one_process_at_a_time(state):
    refused = pytest.raises(InputError, match=f"{state.folder}: another process trains this; wait for it, or stop it")
    with state.locked(), refused, RunState(state.folder).locked():
        pass
    with state.locked():
        pass


def test_what_a_killed_process_half_wrote_goes(state):
    state.save(1, {"step": 1})
    (state.folder / ".000000000002-x1y2.state").write_bytes(b"half")
    with state.locked():
        assert {path.name for path in state.folder.iterdir()} == {"000000000001.state", "lock"}
    assert state.load() == {"step": 1}
