"""The page of the comparison in a real browser: what it shows, by mouse and keyboard, and that names do nothing."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Picture

from acol.data.manifest import Image, Manifest, write_manifest
from acol.figures.pixels import overlay
from acol.localization.evaluation import evaluate
from acol.localization.fusion import upsample
from acol.localization.inference import SplitOutputs
from pipeline import compare, places
from pipeline.evaluate import write_results
from pipeline.params import Cell, Evaluate, parse_head
from pipeline.report import gallery

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update --disable-sync"

HOSTILE = (
    '"><script>window.hacked = 1</script>',
    "<img src=x onerror='window.hacked = 1'>",
    "javascript:window.hacked=1//{{ 7 * 7 }}&lt;b&gt;",
)
HEADS = ("p", "pn-0.6", "pn-0.9", "pp-0.6")
SIZE = (40, 30)
MISLABELLED = 5  # the place of an image that every cell is sure to be of another class


def made_up_images() -> list[Image]:
    paths = [f"{n}</script><script>window.hacked = 1<!--/{n} '\"&amp;.png" for n in range(30)]
    return [
        Image(path, HOSTILE[n % 3], "test", f"{n:064}", *SIZE, ((4, 3, 24, 21),))
        for n, path in enumerate(sorted(paths))
    ]


def write_cell(cell: Cell, images: list[Image], seed: int) -> None:
    """Leave what the stages leave of a cell, scored by the real evaluation on made-up outputs."""
    rng = np.random.default_rng(seed)
    k, n = len(cell.recipe), len(images)
    maps = rng.random((2, k, n, 4, 4)).astype(np.float32)
    maps[..., 1:3, 1:3] += seed / 3  # the later cells see the object better
    low, high = maps.min((-2, -1), keepdims=True), maps.max((-2, -1), keepdims=True)
    true, predicted = (maps - low) / (high - low)
    logits = rng.normal(size=(k, n, 3)).astype(np.float32)
    logits[0, np.arange(n), [HOSTILE.index(image.label) for image in images]] += seed
    logits[0, MISLABELLED] = np.roll([0, 0, 9], HOSTILE.index(images[MISLABELLED].label))
    outputs = SplitOutputs(logits, true, predicted)
    scores = evaluate(
        outputs,
        images,
        HOSTILE,
        cell.recipe,
        Path(),
        fixed_tau=0.4,
        validation=None,
        faithful={},
        resamples=100,
        seed=0,
    )
    write_results(scores, outputs, places.results(cell.name))
    history: dict[str, Any] = {"epoch": [1, 2, 3]}
    for split in ("train", "val"):
        history |= {f"{split}_loss": [3, 2, 1.5], f"{split}_accuracy": [0.5, 0.6, 0.7]}
        history |= {f"{split}_loss_{number}": [3, 2, 1.5] for number in range(1, k + 1)}
    folder = places.model(cell.name)
    folder.mkdir(parents=True)
    pd.DataFrame(history).to_csv(folder / "history.csv", index=False)
    summary = {"letters": cell.recipe.letters, "num_classes": 3, "best_epoch": 2, "epochs_run": 3}
    (folder / "summary.json").write_text(json.dumps(summary))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A compared grid of four cells, whose classes and files have hostile names."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        images, root = made_up_images(), Path("data/split/drawn")
        for n, image in enumerate(images):
            (root / image.path).parent.mkdir(parents=True)
            Picture.new("RGB", SIZE, (8 * n, 120, 200)).save(root / image.path)
        write_manifest(places.MANIFEST, Manifest(root, HOSTILE, tuple(images)))
        cells = [Cell("resnet18", parse_head(head), 0) for head in HEADS]
        for seed, cell in enumerate(cells):
            write_cell(cell, images, seed)
        places.untrained("resnet18").mkdir(parents=True)
        (places.untrained("resnet18") / "metrics.json").write_text("{}")
        params = SimpleNamespace(
            cells=lambda: cells,
            grid=SimpleNamespace(backbones=["resnet18"]),
            cams=SimpleNamespace(sample=2, failures=1, seed=0),
            evaluate=Evaluate(tau=0.4, scales=[1], batch_size=2, faithfulness=0, bootstrap=100, seed=0),
            compare=SimpleNamespace(best_by=["max_box_acc_v2", "accuracy_top1"]),
            data=SimpleNamespace(root=root),
        )
        patch.setattr(compare, "load_params", lambda: params)
        places.timing(cells[0].name).parent.mkdir()
        for cell, size in zip(cells, (40, 80, 100, 100), strict=True):
            (places.model(cell.name) / "best.pt").write_bytes(b"." * size * 1000)
            pd.DataFrame({"seconds": [20.0, 30.0]}).to_csv(places.timing(cell.name), index=False)
            places.speed(cell.name).write_text('{"ms_per_image": 4.25}')
        compare.main()
        yield folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not CHROMIUM.exists():
        pytest.skip(f"no Chromium at {CHROMIUM}: the page is not tried in a browser")
    sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright to drive a browser")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=[*FLAGS.split(), "--no-first-run"])
        yield browser
        browser.close()


def opened(browser: Any, project: Path, **context: Any) -> Any:
    page = browser.new_context(viewport={"width": 1440, "height": 900}, **context).new_page()
    page.set_default_timeout(10_000)
    page.complaints, page.requests = [], []
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("request", lambda request: page.requests.append(request.url))
    page.goto((project / "report/index.html").as_uri())
    page.wait_for_selector("#curve-plots svg")
    return page


@pytest.fixture(scope="module")
def shared(browser: Any, project: Path) -> Any:
    return opened(browser, project)


@pytest.fixture
def page(shared: Any) -> Iterator[Any]:
    """The page as it is after a reset of its filters; whatever a test did, there was no complaint."""
    yield shared
    shared.locator("#filters button[type=reset]").click()
    shared.locator("#count", has_text="30 photographs").wait_for()
    assert shared.complaints == []


def images_csv(project: Path, head: str) -> pd.DataFrame:
    return pd.read_csv(project / f"results/resnet18-{head}/images.csv")


def shown_rows(page: Any) -> int:
    return int(page.locator("#count").inner_text().split()[0].replace("No", "0"))


# --- the file ----------------------------------------------------------------------------------------------------


def test_it_opens_from_the_file_system_and_asks_for_nothing_else(page: Any, project: Path) -> None:
    assert [url for url in page.requests if not url.startswith("data:")] == [(project / "report/index.html").as_uri()]
    assert (project / "report/index.html").stat().st_size < 3e6


def test_names_are_text_and_do_nothing(page: Any) -> None:
    page.locator(".row button.open").first.click()
    page.locator("#answers button").first.click()
    page.keyboard.press("Escape")
    assert page.evaluate("window.hacked") is None
    assert page.locator("img[src=x], a[href^=javascript], script:not([id])").count() == 1  # the script of its own
    heading = page.locator(".row h3").first.inner_text()
    assert heading in HOSTILE
    assert page.locator(".row small bdi").first.inner_text().count("</script><script>window.hacked = 1<!--/") == 1
    assert page.locator("#by-class option").all_inner_texts() == ["any class", *HOSTILE]


def test_a_script_that_is_not_the_pages_own_is_refused(browser: Any, project: Path) -> None:
    page = opened(browser, project)
    page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "window.hacked = 1";
            const image = document.createElement("div");
            image.innerHTML = '<img src="data:," onerror="window.hacked = 1">';
            document.body.append(script, image);
        }"""
    )
    page.wait_for_timeout(100)
    assert page.evaluate("window.hacked") is None
    assert sum("Content Security Policy" in complaint for complaint in page.complaints) == 2
    page.context.close()


def test_the_data_cannot_end_its_script_element(project: Path) -> None:
    text = (project / "report/index.html").read_text()
    content = re.search(r'id="content">(.*?)</script>', text, re.DOTALL)
    assert content is not None
    assert {image["label"] for image in json.loads(content[1])["images"]} == set(HOSTILE)


# --- verdict, differences, grid ----------------------------------------------------------------------------------


def test_the_answer_says_what_to_take_how_good_it_is_and_what_to_type(page: Any, project: Path) -> None:
    head = page.locator("h1").inner_text().split()[-1].removeprefix("resnet18-")
    frame = images_csv(project, head)
    text = page.locator("#answer").inner_text()
    right, fits = frame["correct"].sum(), (frame["iou"] >= 0.5).sum()
    assert f"Right on {right} of 30 test photographs. The box fits in {fits} of 30" in text
    assert f"acol predict PHOTOS --model models/resnet18-{head}/best.pt --out boxes" in text
    assert "0.0 MB, trained in 50 s, 4.2 ms a photograph" in text or "0.1 MB, trained in 50 s" in text
    shares = frame.groupby("label")["correct"].mean()
    assert f"Weakest class: {shares.idxmin()}, " in text
    assert "Careful. Its answers are no clear gain over the most frequent class for every photograph." in text
    wrong = frame[frame["correct"] == 0].sort_values("probability", ascending=False)
    answers = page.locator("#worst button").all_inner_texts()
    assert [text.split("true: ")[1].split("\nIoU")[0] for text in answers] == list(wrong["label"][:3])
    page.locator("#typical button").nth(1).click()
    assert page.locator("#position").inner_text() == "2 of 3"
    page.keyboard.press("Escape")


def test_every_difference_is_shown_with_its_interval_and_in_words(page: Any, project: Path) -> None:
    table = pd.read_csv(project / "report/differences.csv")
    page.get_by_role("group", name="Difference in").get_by_role("button", name="Accuracy", exact=True).click()
    rows = table[table["metric"] == "accuracy_top1"]
    assert page.locator(".difference").count() == len(rows)
    first, row = page.locator(".difference").first.inner_text().replace("−", "-"), rows.iloc[0]
    assert row["b"] in first
    for value in (row["difference"], row["low"], row["high"]):
        assert f"{100 * value:+.1f}" in first
    clear = page.locator(".difference .chip", has_text="clearly").count()
    assert clear == rows["real"].sum()


def test_the_grid_is_sorted_by_a_heading_and_says_so(page: Any, project: Path) -> None:
    table = pd.read_csv(project / "report/table.csv").query("cell not in ('centred box', 'majority class')")

    def order() -> list[str]:
        return [
            re.sub("best|take this one", "", text).strip()
            for text in page.locator("#grid-table tbody th").all_inner_texts()
        ]

    assert order() == list(table["cell"])
    heading = page.get_by_role("columnheader", name="MaxBoxAccV2")
    assert heading.get_attribute("aria-sort") == "none"
    heading.get_by_role("button").focus()
    page.keyboard.press("Enter")
    by_score = table.sort_values("max_box_acc_v2", ascending=False, kind="stable")
    assert (order(), heading.get_attribute("aria-sort")) == (list(by_score["cell"]), "descending")
    page.keyboard.press("Space")  # the focus has stayed
    by_score = table.sort_values("max_box_acc_v2", kind="stable")
    assert (order(), heading.get_attribute("aria-sort")) == (list(by_score["cell"]), "ascending")
    assert page.locator("#grid-table [aria-sort=none]").count() == page.locator("#grid-table thead th").count() - 1


def test_the_grid_has_every_interval_and_on_demand_every_metric(page: Any, project: Path) -> None:
    table = json.loads((project / "report/table.json").read_text())["cells"]
    row = page.locator("#grid-table tbody tr", has=page.get_by_text(table[0]["cell"], exact=True))
    low, high = table[0]["intervals"]["accuracy_top1"]
    assert f"{100 * low:.1f} – {100 * high:.1f}" in row.inner_text()
    page.get_by_label("All metrics").check()
    assert page.locator("#grid-table thead th").count() == 1 + len({name for cell in table for name in cell["metrics"]})
    assert table[0]["metrics"]["train_seconds"] == 50
    assert (table[0]["metrics"]["size_mb"], table[0]["metrics"]["ms_per_image"]) == (0.04, 4.25)
    page.get_by_label("All metrics").uncheck()


# --- plots -------------------------------------------------------------------------------------------------------


def test_cells_of_the_curves_can_be_hidden(page: Any) -> None:
    page.locator("#curve-plots figure").first.scroll_into_view_if_needed()
    lines = page.locator("#curve-plots .cell-3")
    assert lines.count() == 4 * 3  # training, validation and the kept epoch, in four plots
    assert page.locator("#curve-plots .cell-0").count() == 3 * 3  # p has no second classifier
    button = page.locator("#curve-cells").get_by_role("button", name="resnet18-pp-0.6")
    button.click()
    assert {line.evaluate("(line) => getComputedStyle(line).visibility") for line in lines.all()} == {"hidden"}
    button.click()
    assert {line.evaluate("(line) => getComputedStyle(line).visibility") for line in lines.all()} == {"visible"}


def test_plots_say_their_numbers_in_words(page: Any, project: Path) -> None:
    table = pd.read_csv(project / "report/table.csv").set_index("cell")
    scores = [100 * table.loc[f"resnet18-{head}", "max_box_acc_v2"] for head in ("pn-0.6", "pn-0.9")]
    words = page.locator("#delta-plots figure:visible").get_by_role("img").get_attribute("aria-label")
    assert words.startswith("MaxBoxAccV2 against delta. resnet18 p: ")
    assert f"resnet18 pn: {scores[0]:.1f} % at 0.6, {scores[1]:.1f} % at 0.9" in words
    assert f"centred box: {100 * table.loc['centred box', 'max_box_acc_v2']:.1f} %." in words
    keys = page.locator("#delta-plots figure:visible .keys li").all_inner_texts()
    assert keys[:3] == ["resnet18 p (no erasing)", "resnet18 pn", "resnet18 pp"]
    outside = page.locator("#delta-plots figure:visible p").inner_text()  # it would flatten the others
    assert ("centred box" in keys) != ("centred box" in outside)
    accuracy = page.get_by_role("img", name="Accuracy by epoch")
    assert "Validation at the epoch that was kept: resnet18-p 60.0 %" in accuracy.get_attribute("aria-label")


def test_the_plot_of_each_metric_is_chosen(page: Any) -> None:
    page.get_by_role("group", name="Metric").get_by_role("button", name="Accuracy", exact=True).click()
    assert page.locator("#delta-plots figure:visible").get_attribute("data-key") == "accuracy_top1"
    page.get_by_role("group", name="Metric").get_by_role("button", name="MaxBoxAccV2").click()


# --- classes -----------------------------------------------------------------------------------------------------


def test_each_class_has_its_scores_and_its_confusions(page: Any, project: Path) -> None:
    frame = images_csv(project, "pn-0.6")
    row = page.locator("#class-table tbody tr").nth(1)
    own = frame[frame["label"] == HOSTILE[1]]
    assert row.locator("td").all_inner_texts()[0] == str(len(own))
    assert row.locator("td").nth(2).inner_text() == f"{100 * own['correct'].mean():.0f}\u00a0%"
    page.get_by_role("button", name="Right boxes").click()
    assert row.locator("td").nth(2).inner_text() == f"{100 * (own['iou'] >= 0.5).mean():.0f}\u00a0%"
    page.locator("#confused-cell").select_option(label="resnet18-pn-0.6")
    counts = pd.crosstab(frame["label"], frame["predicted"]).reindex(index=HOSTILE, columns=HOSTILE, fill_value=0)
    rows = [row.locator("td").all_inner_texts() for row in page.locator("#confusion-table tbody tr").all()]
    assert [[int(text.replace("·", "0")) for text in texts] for texts in rows] == counts.to_numpy().tolist()


# --- what erasing did --------------------------------------------------------------------------------------------


def test_what_erasing_did_stands_as_the_tables_say(page: Any, project: Path) -> None:
    erasing = json.loads((project / "results/resnet18-pn-0.6/details.json").read_text())["erasing"]
    text = page.locator("#erasing-table tbody tr", has_text="resnet18-pn-0.6").inner_text()
    for share in (erasing[0]["object_share"], erasing[1]["object_share"], erasing[1]["added"]):
        assert f"{100 * share:.0f}\u00a0%" in text


# --- the gallery -------------------------------------------------------------------------------------------------


def test_photographs_are_filtered_by_class_answer_and_box(page: Any, project: Path) -> None:
    frames = [images_csv(project, head) for head in HEADS]
    right = np.array([frame["correct"] == 1 for frame in frames])
    located = np.array([frame["iou"] >= 0.5 for frame in frames])
    page.locator("#by-class").select_option(label=HOSTILE[1])
    assert shown_rows(page) == 10
    assert set(page.locator(".row h3").all_inner_texts()) == {HOSTILE[1]}
    page.locator("#by-class").select_option(label="any class")
    expected = {
        "right in every cell": right.all(0),
        "right in some cells only": right.any(0) & ~right.all(0),
        "wrong in every cell": ~right.any(0),
        "right in resnet18-pn-0.6": right[1],
        "wrong in resnet18-p": ~right[0],
    }
    for option, images in expected.items():
        page.locator("#by-answer").select_option(label=option)
        assert shown_rows(page) == images.sum(), option
    page.locator("#by-answer").select_option(label="any answer")
    page.locator("#by-box").select_option(label="right in some cells only")
    assert shown_rows(page) == (located.any(0) & ~located.all(0)).sum()


def test_photographs_are_filtered_and_ordered_by_disagreement(page: Any, project: Path) -> None:
    boxes = np.stack([images_csv(project, head)[["x0", "y0", "x1", "y1"]] for head in HEADS], axis=1)
    differ = np.array([gallery.disagreement(corners) for corners in boxes])
    least = float(np.quantile(differ, 0.6).round(1))
    page.locator("#differ").fill(str(round(100 * least)))
    assert shown_rows(page) == (differ >= least).sum()
    page.locator("#order").select_option(label="most disagreement first")
    shares = page.locator(".row header").all_inner_texts()
    percents = [int(re.search(r"disagree by (\d+)", text)[1]) for text in shares]  # type: ignore[index]
    assert percents == sorted(percents, reverse=True)
    assert percents[0] == round(100 * differ.max())


def test_more_rows_come_on_demand_and_take_the_focus(page: Any) -> None:
    assert page.locator(".row").count() == 6
    page.get_by_role("button", name="Show 6 more").click()
    assert page.locator(".row").count() == 12
    assert page.evaluate("document.activeElement === document.querySelectorAll('.row')[6].querySelector('button')")


def test_no_match_is_said(page: Any) -> None:
    page.locator("#differ").fill("100")
    assert page.locator("#count").inner_text() == "No photograph matches."


def test_a_map_has_the_librarys_colours(page: Any, project: Path) -> None:
    order = pd.read_csv(project / "report/images.csv")["path"]
    with np.load(project / "results/resnet18-pp-0.6/maps.npz") as maps:
        cams = maps["cams"][list(maps["paths"]).index(order[0])].astype(np.float32)
    fused = upsample(torch.from_numpy(cams.max(0))[None], (96, 96))[0].numpy()
    pixels = page.evaluate(
        """() => {
            const canvas = document.querySelectorAll(".row")[0].querySelectorAll("canvas")[3];
            return [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data];
        }"""
    )
    drawn = np.array(pixels, dtype=float).reshape(96, 96, 4)
    opacity = drawn[..., 3:] / 255
    grey = np.full((96, 96, 3), 128, np.uint8)
    assert np.abs(grey * (1 - opacity) + drawn[..., :3] * opacity - overlay(grey, fused)).max() < 6  # of 255


def test_labels_that_may_be_wrong_are_listed_and_shown_with_their_maps(page: Any, project: Path) -> None:
    suspects = pd.read_csv(project / "report/likely_wrong_labels.csv")
    first = made_up_images()[MISLABELLED]
    assert first.path in list(suspects["path"])
    rows = [row.locator("bdi").all_inner_texts() for row in page.locator("#labels tbody tr").all()]
    assert rows == suspects[["path", "label", "suggested"]].to_numpy().tolist()
    page.locator("#by-class").select_option(label=HOSTILE[0])  # a filter that would hide some
    page.get_by_role("button", name="Show them with their maps").click()
    page.locator("#count", has_text=f"{len(suspects)} photograph").wait_for()
    heads = page.locator(".row header").all_inner_texts()
    assert {suggested for head in heads for suggested in HOSTILE if f"may be {suggested}" in head} == {
        *suspects["suggested"]
    }


# --- one photograph ----------------------------------------------------------------------------------------------


def test_a_photograph_is_looked_at_by_keyboard_alone(page: Any, project: Path) -> None:
    order = list(pd.read_csv(project / "report/images.csv")["path"])
    page.locator("#show-box").focus()
    for _ in range(2):  # past the reset button, to the first photograph
        page.keyboard.press("Tab")
    opener = page.evaluate("document.activeElement.textContent")
    assert opener == f"photographlook closerat {order[0]}"
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    assert dialog.is_visible()
    answers = [images_csv(project, head).set_index("path").loc[order[0]] for head in HEADS]
    for block, answer in zip(page.locator(".answer").all(), answers, strict=True):
        text = block.inner_text()
        assert answer["predicted"] in text
        assert f"{100 * answer['probability']:.0f}\u00a0%" in text
        assert f"IoU\n{answer['iou']:.2f}" in text
    page.keyboard.press("ArrowRight")
    assert page.locator("#closer-path").inner_text().startswith(order[1])
    page.keyboard.press("ArrowLeft")
    for _ in range(3):  # next, close, and the first cell's map, the previous one being disabled
        page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert page.locator("#large-text").inner_text() == "resnet18-p: its map and its box."
    assert page.locator("#large canvas").count() == 1
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert page.evaluate("document.activeElement.textContent") == opener


def test_what_each_classifier_saw_and_what_a_wrong_answer_saw(page: Any, project: Path) -> None:
    wrong = images_csv(project, "pn-0.6").query("correct == 0")
    page.locator("#by-answer").select_option(label="wrong in resnet18-pn-0.6")
    page.locator(".tile").first.click()
    parts = page.locator(".answer").nth(1).locator(".parts .tile").all_inner_texts()
    assert parts[:2] == ["classifier 1 (p)", "classifier 2 (n), hatched: erased before"]
    path = page.locator("#closer-path bdi").inner_text()
    assert parts[2] == f"seen as {wrong.set_index('path').loc[path, 'predicted']}"
    page.locator(".answer").nth(1).locator(".parts button").nth(1).click()  # and each of them can be seen large
    assert page.locator("#large canvas").evaluate("(canvas) => canvas.width") == 288
    assert "classifier 2 (n), hatched" in page.locator("#large-text").inner_text()
    page.get_by_role("button", name="Close", exact=True).click()


# --- on other screens --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_every_number_is_in_view_and_every_text_is_large_enough(
    browser: Any, project: Path, scheme: str
) -> None:
    page = opened(browser, project, color_scheme=scheme)
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    ends = page.evaluate(
        "[...document.querySelectorAll('#grid-table td')].map((td) => td.getBoundingClientRect().right)"
    )
    assert max(ends) <= 390
    texts = page.evaluate(
        """() => [...document.querySelectorAll("figure:not([hidden]) svg text")].map((text) => {
            const drawing = text.closest("svg");
            return parseFloat(getComputedStyle(text).fontSize) * drawing.clientWidth / drawing.viewBox.baseVal.width;
        })"""
    )
    assert min(texts) >= 12
    assert page.locator("#typical button").first.bounding_box()["y"] < 844
    page.locator(".row button.open").first.click()
    assert page.evaluate("document.querySelector('dialog').scrollWidth") <= 390
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (light == "rgb(245, 246, 248)") == (scheme == "light")
    assert page.complaints == []
    page.context.close()


# --- which photographs -------------------------------------------------------------------------------------------


def test_with_little_room_photographs_are_spread_from_hardest_to_easiest(
    browser: Any, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gallery, "ROOM", 11_000)
    compare.main()
    page = opened(browser, project)
    content = json.loads(page.locator("#content").inner_text())
    order = list(pd.read_csv(project / "report/images.csv")["path"])
    suspects = {*pd.read_csv(project / "report/likely_wrong_labels.csv")["path"]}
    wanted = {*content["taken"]["worst"], *content["taken"]["typical"], *suspects}
    assert wanted <= {image["path"] for image in content["images"]}
    places = [order.index(image["path"]) for image in content["images"] if image["path"] not in wanted - {order[0]}]
    assert 3 <= len(places) < 15
    assert (places[0], places) == (0, sorted(places))
    assert max(np.diff([*places, 30])) <= 2 * min(np.diff(places))
    assert f"Of 30 test photographs {len(content['images'])} are here" in page.locator("#gallery-text").inner_text()
    page.context.close()


@given(st.integers(0, 200))
def test_any_beginning_is_spread_evenly(count: int) -> None:
    order = list(gallery.spread_evenly(count))
    assert sorted(order) == list(range(count))
    for n in range(1, count):
        gaps = np.diff(sorted([*order[:n], count]))
        assert gaps.max() <= 4 * count / n


def test_disagreement_is_how_little_boxes_overlap() -> None:
    box, half, away = (0, 0, 10, 10), (0, 0, 10, 5), (20, 20, 30, 30)
    assert gallery.disagreement([box]) == gallery.disagreement([box, box]) == 0
    assert gallery.disagreement([box, half]) == 0.5
    assert gallery.disagreement([box, box, away]) == pytest.approx(2 / 3, abs=1e-3)
