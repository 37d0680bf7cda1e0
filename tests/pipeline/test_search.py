"""The search: draws that repeat, the same budget, and a kill in the middle."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from acol.errors import Faults, InputError
from pipeline.params import Search, load_params
from pipeline.search.__main__ import best_of, main
from pipeline.search.trial import draw_trial, head_with_deltas, read_trial, read_trials, train
from pipeline.strict_yaml import parse_settings
from tests.conftest import wait_for

ROOT = Path(__file__).parents[2]
SECTION: dict[str, Any] = {
    "recipes": ["p", "pn"], "trials": 2, "delta": [0.4, 0.8], "lr": [0.0001, 0.001], "classifier_lr": [0.001, 0.01],
    "weight_decay": [0.001, 0.01], "epochs": [1, 2], "seeds": 2, "metric": "max_box_acc_v2",
}  # fmt: skip
SEARCH = parse_settings(Search, SECTION)


def test_each_recipe_draws_from_the_same_ranges_and_a_draw_repeats():
    draws = {recipe: [draw_trial(SEARCH, recipe, number) for number in range(30)] for recipe in SEARCH.recipes}
    assert draws["p"] == [draw_trial(SEARCH, "p", number) for number in range(30)]
    for recipe, some in draws.items():
        for one in some:
            assert 0.0001 <= one.values["lr"] <= 0.001
            assert one.values["epochs"] in (1, 2)
            assert ("delta_1" in one.values) == (recipe == "pn")
        assert len({one.values["lr"] for one in some}) == 30
    deltas = [one.values["delta_1"] for one in draws["pn"]]
    assert min(deltas) >= 0.4
    assert max(deltas) <= 0.8
    assert str(draws["pn"][0].head) == f"pn-{deltas[0]:g}"


def test_what_a_draw_means():
    assert str(head_with_deltas("pnp-conv3-has", [0.5, 0.75])) == "pnp-0.5-0.75-conv3-has"
    params = load_params(ROOT / "params.yaml")
    one = draw_trial(SEARCH, "p", 0)
    drawn = one.settings(params, SEARCH).train
    assert (drawn.lr, drawn.epochs, drawn.best_by) == (one.values["lr"], one.values["epochs"], "localization")
    assert drawn.batch_size == params.train.batch_size


def test_tpe_learns_and_repeats_too():
    search = replace(SEARCH, sampler="tpe")
    trained = [replace(draw_trial(search, "pn", n), scores={search.metric: 0.1 * n}) for n in range(12)]
    first, again = (draw_trial(search, "pn", 12, trained) for _ in range(2))
    assert first == again
    assert first != draw_trial(search, "pn", 12)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"delta": [0.9, 0.3]}, "search: delta [0.9, 0.3] is upside down; write [0.3, 0.9]"),
        ({"epochs": [3, 1]}, "search: epochs [3, 1] is upside down; write [1, 3]"),
        ({"delta": [0.3, 1.5]}, "search: delta ends at 1.5; a delta is below 1"),
        ({"recipes": ["px"]}, "search: recipe 'px': unknown letter 'x'"),
        ({"recipes": ["pn-0.9"]}, "search: recipe pn-0.9: deltas are drawn and seeds are set by seeds; write pn"),
        ({"recipes": ["p", "p"]}, "search: recipes name one twice; remove it"),
        ({"recipes": []}, "search.recipes: []"),
        ({"trials": 0}, "search.trials: 0"),
        ({"backbone": "lite9"}, "search.backbone: lite9 has no entry under backbones; did you mean lite0?"),
        ({"trails": 3}, "search.trails: unknown key; did you mean trials?"),
    ],
)  # fmt: skip
def test_what_cannot_be_searched_is_refused_in_a_line(change, line, tmp_path):
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content | {"search": SECTION | change}))
    with pytest.raises(Faults) as caught:
        load_params(tmp_path / "params.yaml")
    (fault,) = caught.value.faults
    assert line in fault


def test_the_best_of_each_recipe_is_chosen_on_validation():
    trials = [
        replace(draw_trial(SEARCH, recipe, number), scores={"accuracy": 0.9, "max_box_acc_v2": score})
        for recipe, scores in {"p": (0.4, 0.6), "pn": (0.7, 0.7)}.items()
        for number, score in enumerate(scores)
    ]
    unfinished = draw_trial(SEARCH, "p", 1)
    assert [trial.name for trial in best_of([*trials, unfinished], SEARCH)] == ["p-001", "pn-000"]


@pytest.fixture(scope="module")
def prepared(make_tiny_project, initialised_store):
    """A small project with a section search, whose images and weights are there."""
    project = make_tiny_project()
    content = yaml.safe_load((project.root / "params.yaml").read_text())
    (project.root / "params.yaml").write_text(yaml.safe_dump(content | {"search": SECTION | {"trials": 1, "seeds": 1}}))
    shutil.copy(initialised_store, project.root / "mlflow.db")
    project.run("dvc", "repro", "split", "pretrained")
    return project


def test_a_trial_counts_as_long_as_all_that_determines_it_stays(prepared, monkeypatch):
    monkeypatch.chdir(prepared.root)
    before = load_params()

    def counts(search: Search = SEARCH, **changes: dict[str, Any]) -> bool:
        sections = {name: replace(getattr(before, name), **values) for name, values in changes.items()}
        return read_trials(replace(before, **sections), search) != []

    one = draw_trial(SEARCH, "pn", 1)
    replace(one, key=one.key_now(before, SEARCH), scores={"accuracy": 1.0}, seconds=1.0).write()
    assert counts()
    # What was drawn itself, the number of draws and the scoring of test images change nothing.
    assert counts(replace(SEARCH, trials=9, seeds=4), train={"lr": 0.05, "epochs": 7})
    assert counts(evaluate={"tau": 0.3})
    for changed in (
        {"image": {"train_size": before.image.train_size + 8}},
        {"train": {"output_stride": 8}},
        {"train": {"freeze": "none"}},
        {"train": {"optimizer": "sgd"}},
        {"train": {"precision": "float32" if before.train.precision != "float32" else "bfloat16"}},
        {"train": {"seed": 5}},
    ):
        assert not counts(**changed), changed
    # A recipe before it, another range, seed or sampler draws other values; another measure chooses other epochs.
    others = {"recipes": ("pn",), "lr": (0.0001, 0.002), "seed": 1, "sampler": "tpe", "metric": "accuracy"}
    for name, value in others.items():
        assert not counts(replace(SEARCH, **{name: value})), name
    # Other images; other weights.
    for file, old, new in (
        ("data/split/labels.json", '"split": "val"', '"split": "train"'),
        ("pretrained/lite0/source.json", '"weights_sha256": "', '"weights_sha256": "0'),
    ):
        text = Path(file).read_text()
        assert old in text
        Path(file).write_text(text.replace(old, new, 1))
        assert not counts(), file
        Path(file).write_text(text)
    assert counts()
    Path("search/trials/pn-001.json").write_text("{}")
    with pytest.raises(InputError, match=r"pn-001\.json: is not a trial; remove it"):
        counts()
    shutil.rmtree("search")


def test_killed_in_the_middle_it_goes_on_to_the_same_end(prepared, mlflow_environment, monkeypatch, capfd):
    project = prepared
    command = [sys.executable, "-m", "pipeline.search"]
    monkeypatch.chdir(project.root)
    trials = project.root / "search" / "trials"

    def search(*arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["search", *arguments])
        main()

    def scored() -> int:
        return sum(json.loads(file.read_text())["scores"] is not None for file in trials.glob("p*.json"))

    process = subprocess.Popen(command, cwd=project.root, env=project.environment, start_new_session=True)
    wait_for(lambda: scored() >= 1, 120)
    # A second search ends in one line, and touches nothing of the first, which stands still meanwhile.
    os.killpg(process.pid, signal.SIGSTOP)
    capfd.readouterr()
    with pytest.raises(SystemExit, match=r"[12]"):
        search()
    assert capfd.readouterr().err == "error: search: another process trains this; wait for it, or stop it\n"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = {
        file.name: file.read_bytes() for file in trials.glob("*.json") if b'"scores": null' not in file.read_bytes()
    }
    assert len(kept) == 1
    search()
    assert "search/README.md: 2 trials; the chosen heads are p, pn-0." in capfd.readouterr().out
    assert {name: (trials / name).read_bytes() for name in kept} == kept  # nothing is trained twice
    table = pd.read_csv(project.root / "search" / "trials.csv")
    assert table["trial"].tolist() == ["p-000", "pn-000"]
    assert table["max_box_acc_v2"].notna().all()
    # Trained from the beginning in one go it has the same scores.
    killed = read_trial(Path("search/trials/pn-000.json"))
    params = load_params()
    assert train(params, params.search, killed).scores == killed.scores
    words = Path("search/README.md").read_text()
    assert "The chosen ones were trained anew with 1 other seed, and scored on the test images." in words
    assert "Percent: of one training each." in words
    # Without the test images it only writes down what there is.
    chosen = {file: file.read_bytes() for file in Path("search/chosen").rglob("best.pt")}
    search("--without-test")
    assert all(file.read_bytes() == before for file, before in chosen.items())
    assert "trained anew" not in Path("search/README.md").read_text()
    # With other settings it trains all anew, the chosen ones too.
    project.edit({("train", "optimizer"): "sgd"})
    search("--jobs", "2")
    other = pd.read_csv(project.root / "search" / "trials.csv")
    assert other["lr"].tolist() == table["lr"].tolist()
    assert read_trial(Path("search/trials/pn-000.json")).key != killed.key
    assert all(file.read_bytes() != before for file, before in chosen.items())
    words = (project.root / "search" / "README.md").read_text()
    assert "`p`, `pn` had the same budget: 1 draws" in words
