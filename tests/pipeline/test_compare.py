"""What the tables say, which cell is best and why, and that exactly the grid's cells are counted."""

import json
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image as Picture

from acol.data.manifest import Image, Manifest, write_manifest
from acol.errors import Faults
from pipeline import compare, places
from pipeline.params import Cell, Evaluate, parse_head
from pipeline.report import tables
from pipeline.report.cells import load_cells
from pipeline.report.grid_comparison import GridComparison
from pipeline.report.verdict import best_over_seeds


def loaded(name: str, intervals: dict[str, tuple[float, float]] | None = None, **metrics: float) -> Any:
    """What is read of a cell; the names of the seeds of a group differ after `-s`."""
    cell, facts = SimpleNamespace(name=name, group=name.split("-s")[0]), {"head": "p", "recipe": "p", "seed": 0}
    facts = {"backbone": name, **facts}
    return SimpleNamespace(cell=cell, facts=facts, metrics=metrics, intervals=intervals or {}, erasing=(), maps={})


# --- the best ----------------------------------------------------------------------------------------------------

BY = ["max_box_acc_v2", "accuracy_top1"]
BEST = {"cell": None, "rule": "none"}


def test_the_first_metric_decides() -> None:
    cells = [loaded("a", max_box_acc_v2=0.5, accuracy_top1=0.9), loaded("b", max_box_acc_v2=0.6, accuracy_top1=0.1)]
    assert best_over_seeds(cells, BY) == {
        "cell": "b",
        "rule": "highest MaxBoxAccV2, then highest Accuracy, then the grid's order",
        "values": {"max_box_acc_v2": 0.6, "accuracy_top1": 0.1},
        "decided_by": "max_box_acc_v2",
    }


def test_a_tie_goes_to_the_next_metric_and_at_last_to_the_grid() -> None:
    tied = [loaded("a", max_box_acc_v2=0.5, accuracy_top1=0.8), loaded("b", max_box_acc_v2=0.5, accuracy_top1=0.9)]
    best = best_over_seeds([*tied, loaded("c", max_box_acc_v2=0.4, accuracy_top1=1.0)], BY)
    assert (best["cell"], best["decided_by"]) == ("b", "accuracy_top1")
    same = [loaded(name, max_box_acc_v2=0.5, accuracy_top1=0.9) for name in "ba"]
    best = best_over_seeds(same, BY)
    assert (best["cell"], best["decided_by"]) == ("b", "the grid's order")


def test_a_metric_that_no_cell_has_is_passed_over_and_said() -> None:
    best = best_over_seeds([loaded("a", accuracy_top1=0.8), loaded("b", accuracy_top1=0.9)], BY)
    assert best["cell"] == "b"
    assert best["rule"] == "highest Accuracy, then the grid's order; no cell has MaxBoxAccV2"


def test_a_cell_without_the_metric_comes_last() -> None:
    best = best_over_seeds([loaded("a", accuracy_top1=1.0), loaded("b", max_box_acc_v2=0.1)], BY)
    assert best["cell"] == "b"
    assert best["values"] == {"max_box_acc_v2": 0.1}


def test_a_lower_loss_is_better() -> None:
    best = best_over_seeds([loaded("a", loss_1=0.5), loaded("b", loss_1=0.4)], ["loss_1"])
    assert (best["cell"], best["rule"]) == ("b", "lowest Loss of classifier 1, then the grid's order")


def test_without_any_of_the_metrics_no_cell_is_best() -> None:
    best = best_over_seeds([loaded("a", coverage=0.5)], BY)
    assert (best["cell"], best["rule"]) == (None, "no cell has MaxBoxAccV2 or Accuracy")
    assert "No cell is the best: no cell has" in markdown([loaded("a", coverage=0.5)], best=best)


def test_over_seeds_the_mean_decides_and_its_best_cell_wins() -> None:
    # pn-0.9 has the best single run, p the best mean: (0.5 + 0.6) / 2 against (0.7 + 0.3) / 2.
    scores = {"p-s0": 0.5, "p-s1": 0.6, "pn-0.9-s0": 0.7, "pn-0.9-s1": 0.3}
    cells = [loaded(f"resnet18-{head}", max_box_acc_v2=score) for head, score in scores.items()]
    best = best_over_seeds(cells, ["max_box_acc_v2"])
    assert (best["cell"], best["values"]) == ("resnet18-p-s1", {"max_box_acc_v2": pytest.approx(0.55)})
    assert best["rule"] == "by the mean over seeds: highest MaxBoxAccV2, then the grid's order"
    text = markdown(cells, best=best)
    assert "| resnet18-p | **55.0** |\n| resnet18-pn-0.9 | 50.0 |\n" in text[text.index("## Means over seeds") :]


# --- the tables --------------------------------------------------------------------------------------------------


def markdown(
    cells: list[Any],
    baselines: dict[str, dict[str, float]] | None = None,
    missing: dict[str, str] | None = None,
    best: dict[str, Any] | None = None,
) -> str:
    best = best or best_over_seeds(cells, BY)
    grid = GridComparison(cells, missing or {}, best, None, [], baselines or {}, {}, pd.DataFrame())
    return tables.report_markdown(grid)


def test_the_markdown_table_is_for_people() -> None:
    cells = [
        loaded("a", {"max_box_acc_v2": (0.57, 0.653)}, accuracy_top1=0.9, max_box_acc_v2=0.6124, loss=0.25),
        loaded("b", accuracy_top1=0.95, loss=0.125),
    ]
    lines = markdown(cells, {"centred box": {"max_box_acc_v2": 0.503}}).splitlines()
    assert lines[lines.index("| Cell | Accuracy | MaxBoxAccV2 |") :][:5] == [
        "| Cell | Accuracy | MaxBoxAccV2 |",
        "| :-- | --: | --: |",
        "| a | 90.0 | 61.2 [57.0, 65.3] |",  # one cell alone has it: nothing to stand out from
        "| b | **95.0** | - |",
        "| *centred box* | - | 50.3 |",
    ]
    # a loss is no percentage; the baseline has none, so its row is not in this table; no best among losses
    assert lines[lines.index("| Cell | Loss |") :] == [
        "| Cell | Loss |",
        "| :-- | --: |",
        "| a | 0.250 |",
        "| b | 0.125 |",
    ]
    assert "Best: **a** (highest MaxBoxAccV2, then highest Accuracy, then the grid's order)." in lines


def test_what_erasing_did_is_said_of_each_classifier() -> None:
    one, two = loaded("a", accuracy_top1=0.9), loaded("b", accuracy_top1=0.8)
    erasing = [{"added": 1.0, "object_share": 0.4}, {"added": 0.25, "object_share": 0.1}]
    one.erasing, two.erasing = erasing[:1], erasing
    text = markdown([one, two], best=BEST)
    lines = text.splitlines()
    assert lines[lines.index("## What erasing did") + 2 :][:4] == [
        "| Cell | Classifier 1: object covered | Classifier 2: object covered | Classifier 2: new part |",
        "| :-- | --: | --: | --: |",
        "| a | 40.0 | - | - |",
        "| b | 40.0 | 10.0 | 25.0 |",
    ]


def test_equal_bests_are_both_bold() -> None:
    tied = [loaded(name, accuracy_top1=0.9) for name in "ab"]
    assert markdown([*tied, loaded("c", accuracy_top1=0.8)]).count("**90.0**") == 2
    assert "**90.0**" not in markdown(tied)  # nothing stands out


def test_names_and_messages_are_text_not_markup() -> None:
    text = markdown([loaded("a|b\n<b>*x*`", accuracy_top1=0.9)], missing={"gone": "f|x.json: missing"})
    assert "| a\\|b \\<b\\>\\*x\\*\\` | 90.0 |" in text
    assert "- gone: f\\|x.json: missing" in text


def test_the_csv_table_has_everything_in_a_stable_order() -> None:
    cells = [
        loaded("a", {"accuracy_top1": (0.8, 0.95)}, zeta=0.1, accuracy_top1=0.9, loss_2=0.3, loss_1=0.2),
        loaded("b", accuracy_top1=0.7, max_box_acc_v2=0.4),
    ]
    baselines = {"centred box": {"max_box_acc_v2": 0.5, "unheard_of": 0.1}, "untrained": {"zeta": 0.2}}
    frame = tables.cell_table(cells, baselines)
    facts = ["cell", "backbone", "head", "recipe", "seed"]
    metrics = ["accuracy_top1", "max_box_acc_v2", "loss_1", "loss_2", "zeta"]
    assert list(frame.columns) == [*facts, *metrics, "accuracy_top1_low", "accuracy_top1_high"]
    assert list(frame["cell"]) == ["a", "b", "centred box", "untrained"]
    again = pd.read_csv(StringIO(frame.to_csv(index=False)))
    assert again["max_box_acc_v2"].to_list()[1:3] == [0.4, 0.5]
    assert frame["seed"].to_list()[:2] == [0, 0]
    assert "0.0" not in frame.to_csv(index=False)  # the seed stays a whole number beside the baseline's empty one


# --- the stage ---------------------------------------------------------------------------------------------------


SETTINGS = Evaluate(tau=0.4, scales=[1], batch_size=2, faithfulness=0, bootstrap=100, seed=0)


def write_cell(name: str, letters: str = "p", **metrics: float) -> None:
    results, models = Path("results") / name, Path("models") / name
    for folder in (results, models):
        folder.mkdir(parents=True, exist_ok=True)
    details = {"intervals": {"accuracy_top1": [0.5, 0.9]}, "centred_box": {"max_box_acc_v2": 0.503}}
    (results / "metrics.json").write_text(json.dumps(metrics))
    (results / "details.json").write_text(json.dumps(details))
    row = {"path": "a/1.png", "label": "a", "predicted": "a", "probability": 0.7, "correct": 1, "iou": 0.6}
    row |= {"loss_1": 0.3}
    images = [row | {"x0": 0, "y0": 0, "x1": 9, "y1": 9}, row | {"path": "b/1.png", "label": "b", "correct": 0}]
    pd.DataFrame(images).to_csv(results / "images.csv", index=False)
    maps = np.random.default_rng(len(name)).random((2, len(letters), 4, 4)).astype(np.float16)
    curves, of_cell = np.tile([[0.6], [0.2]], (1, 10)), {"map": maps[:, 0], "predicted_map": maps[:, 0]}
    np.savez(results / "maps.npz", paths=["a/1.png", "b/1.png"], cams=maps, iou_curves=curves, **of_cell)
    history: dict[str, Any] = {"epoch": [1, 2]}
    for split in ("train", "val"):
        history |= {f"{split}_loss": [2, 1], f"{split}_accuracy": [0.5, 0.6]}
        history |= {f"{split}_loss_{number}": [2, 1] for number in range(1, len(letters) + 1)}
    pd.DataFrame(history).to_csv(models / "history.csv", index=False)
    summary = {"letters": letters, "num_classes": 2, "best_epoch": 2, "epochs_run": 2}
    (models / "summary.json").write_text(json.dumps(summary))


def write_untrained(backbone: str) -> None:
    folder = places.untrained(backbone)
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text("{}")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A grid of two cells, p and pn-0.6, with their results, and a folder of a cell that has left the grid."""
    monkeypatch.chdir(tmp_path)
    root = Path("photos")
    for path in ("a/1.png", "b/1.png"):
        (root / path).parent.mkdir(parents=True)
        Picture.new("RGB", (20, 10), "grey").save(root / path)
    images = [Image(path, path[0], "test", "0" * 64, 20, 10, ((0, 0, 9, 9),)) for path in ("a/1.png", "b/1.png")]
    write_manifest(places.MANIFEST, Manifest(root, ("a", "b"), tuple(images)))
    write_untrained("resnet18")
    write_cell("resnet18-p", accuracy_top1=0.8, max_box_acc_v2=0.55, gt_known_loc=0.6)
    write_cell("resnet18-pn-0.6", "pn", accuracy_top1=0.7, max_box_acc_v2=0.6, pxap=float("nan"))
    write_cell("resnet18-pp-0.9", "pp", accuracy_top1=1.0, max_box_acc_v2=1.0)  # stale
    heads = ["p", "pn-0.6"]
    grid = [Cell("resnet18", parse_head(head), 0) for head in heads]
    params = SimpleNamespace(
        cells=lambda: grid,
        data=SimpleNamespace(root=root),
        grid=SimpleNamespace(backbones=["resnet18"]),
        cams=SimpleNamespace(sample=2, failures=1, seed=0),
        evaluate=SETTINGS,
        compare=SimpleNamespace(best_by=BY),
    )
    monkeypatch.setattr(compare, "load_params", lambda: params)
    return tmp_path


def test_exactly_the_cells_of_the_grid_are_compared(project: Path) -> None:
    compare.main()
    report = Path("report")
    files = [
        "best.json",
        "curves.png",
        "differences.csv",
        "gallery.png",
        "hardest.png",
        "headline",
        "images.csv",
        "index.html",
        "likely_wrong_labels.csv",
        "summary.json",
        "table.csv",
        "table.json",
        "table.md",
    ]
    assert sorted(file.name for file in report.iterdir()) == files
    texts = [file.read_text() for file in report.rglob("*.*") if file.is_file() and file.suffix != ".png"]
    assert not any("pp-0.9" in text for text in texts)
    assert {file.name: json.loads(file.read_text()) for file in (report / "headline").iterdir()} == {
        "resnet18-p.json": {"accuracy_top1": 0.8, "gt_known_loc": 0.6, "max_box_acc_v2": 0.55},
        "resnet18-pn-0.6.json": {"accuracy_top1": 0.7, "max_box_acc_v2": 0.6},
    }
    assert json.loads((report / "best.json").read_text())["cell"] == "resnet18-pn-0.6"
    assert json.loads((report / "summary.json").read_text()) == {
        "resnet18-p": {"accuracy_top1": 0.8, "gt_known_loc": 0.6, "max_box_acc_v2": 0.55},
        "resnet18-pn-0.6": {"accuracy_top1": 0.7, "max_box_acc_v2": 0.6},
    }
    table = json.loads((report / "table.json").read_text())
    assert table["cells"][1] == {
        "cell": "resnet18-pn-0.6",
        "backbone": "resnet18",
        "head": "pn-0.6",
        "recipe": "pn-0.6",
        "seed": 0,
        "map": "cam",
        "best_epoch": 2,
        "epochs_run": 2,
        "metrics": {"accuracy_top1": 0.7, "max_box_acc_v2": 0.6},  # the NaN is none
        "intervals": {"accuracy_top1": [0.5, 0.9]},
    }
    # The box of half of each side, centred, has an IoU of 0.38 with (0, 0, 9, 9) of 20 x 10 at best.
    assert table["baseline"]["centred box"]["max_box_acc_v2"] == pytest.approx(1 / 3)
    assert table["baseline"]["majority class"] == {"accuracy_top1": 0.5, "balanced_accuracy": 0.5}


def test_the_untrained_backbone_is_a_baseline_with_each_map(project: Path) -> None:
    folder = places.untrained("resnet18")
    (folder / "metrics.json").write_text('{"max_box_acc_v2": 0.5, "accuracy_top1": 0.5}')
    (folder / "details.json").write_text('{"map": "cam+late"}')
    images = pd.read_csv("results/resnet18-p/images.csv")
    for name, values in {"cam": [1, 0], "cam+late": [1, 1 / 3], "norm": [0, 1 / 3], "cam+0.5norm": [1, 1]}.items():
        images[f"max_box_acc_v2:{name}"] = values
    images.to_csv(folder / "images.csv", index=False)
    np.savez(folder / "maps.npz", paths=list(images["path"]), iou_curves=[[0.9, 0.1], [0.35, 0.2]])
    compare.main()
    table = json.loads(Path("report/table.json").read_text())["baseline"]
    title = "untrained ImageNet CAM of resnet18"
    assert table[title]["max_box_acc_v2"] == 0.5  # as the cells, which have plain CAM
    assert table[f"{title} (cam+late)"] == {"max_box_acc_v2": 0.5, "accuracy_top1": 0.5}
    assert table["norm of untrained resnet18's features"]["max_box_acc_v2"] == pytest.approx(1 / 6)
    assert f"{title} (cam+0.5norm)" not in table  # no cell has this map


@pytest.mark.parametrize(("key", "title"), [("max_box_acc_v2", "MaxBoxAccV2"), ("mean_pxap", "PxAP of an image")])
def test_the_maps_have_a_table_by_boxes_or_by_masks(key: str, title: str, project: Path) -> None:
    gained = {key: 0.7, "gain": 0.3, "interval": [0.2, 0.4]}
    details = {"map": "cam+late", "maps": {"cam": {key: 0.4}, "cam+late": gained, "norm": gained | {key: 0.6}}}
    Path("results/resnet18-p/details.json").write_text(json.dumps(details))
    compare.main()
    text = Path("report/table.md").read_text()
    assert f"{title} in percent, and the gain over plain CAM" in text
    assert "| 40.0 | **70.0**, +30.0 [20.0, 40.0] | 60.0, +30.0 [20.0, 40.0] |" in text


def test_the_hardest_image_comes_first(project: Path) -> None:
    compare.main()
    images = pd.read_csv("report/images.csv")
    assert images["path"].to_list() == ["b/1.png", "a/1.png"]  # no cell names b's class
    assert images["solved"].to_list() == [0, 1]
    assert images["iou"].to_list() == [0.6, 0.6]


def test_a_cell_evaluated_on_other_images_or_by_other_code_is_left_out(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = pd.read_csv("results/resnet18-p/images.csv")
    images[::-1].to_csv("results/resnet18-p/images.csv", index=False)
    images.drop(columns="iou").to_csv("results/resnet18-pn-0.6/images.csv", index=False)
    with pytest.raises(SystemExit, match="2"):
        compare.main()
    faults = capsys.readouterr().err
    assert "resnet18-p: results/resnet18-p/images.csv: is of another test split; evaluate the cell again" in faults
    assert "resnet18-pn-0.6: results/resnet18-pn-0.6/images.csv: has no column iou" in faults


def test_the_same_results_give_the_same_report(project: Path) -> None:
    compare.main()
    first = {file.name: file.read_bytes() for file in Path("report").rglob("*.*") if file.is_file()}
    compare.main()
    assert {file.name: file.read_bytes() for file in Path("report").rglob("*.*") if file.is_file()} == first


@pytest.mark.parametrize("lost", ["results/resnet18-pn-0.6/metrics.json", "models/resnet18-pn-0.6/history.csv"])
def test_a_cell_without_results_is_named_and_left_out(
    project: Path, capsys: pytest.CaptureFixture[str], lost: str
) -> None:
    Path(lost).unlink()
    compare.main()
    assert capsys.readouterr().err == (
        f"compare: resnet18-pn-0.6 is left out: {lost}: missing; run the stage that writes it (dvc repro)\n"
    )
    assert f"- resnet18-pn-0.6: {lost}: missing" in Path("report/table.md").read_text()
    assert list(json.loads(Path("report/summary.json").read_text())) == ["resnet18-p"]
    assert list(json.loads(Path("report/table.json").read_text())["missing"]) == ["resnet18-pn-0.6"]


def test_with_no_results_at_all_the_stage_stops(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("resnet18-p", "resnet18-pn-0.6"):
        Path("results", name, "metrics.json").write_text("{")
    with pytest.raises(SystemExit, match="2"):
        compare.main()
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[1].strip() for line in lines] == ["resnet18-p", "resnet18-pn-0.6"]
    assert not Path("report").exists()


def test_results_without_intervals_do(project: Path) -> None:
    for name in ("resnet18-p", "resnet18-pn-0.6"):
        Path("results", name, "details.json").write_text("{}")
    compare.main()
    text = Path("report/table.md").read_text().partition("## Which")[0]
    assert "[" not in text


def test_load_all_lists_every_fault(project: Path) -> None:
    with pytest.raises(Faults) as caught:
        load_cells([Cell("vgg16", parse_head(head), 0) for head in ("p", "pp-0.5")], [])
    assert len(caught.value.faults) == 2
