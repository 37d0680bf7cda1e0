"""Damaged params.yaml and recipes: lines that name file, key and remedy, or settings that every stage can use."""

import json
import re
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from acol import Recipe
from acol.data.transforms import Preprocessing
from pipeline.params import Params, load_params
from tests.fuzz.mutations import damaged, examples, result_or_clear_lines

TEXT = (Path(__file__).parents[2] / "params.yaml").read_text()
VALUES = (
    *("0", "1", "-1", "2", "33", "32", "31", "0.5", "1.0", "-0.0", "1e308", "5e-324", "1e999", "-1e9", "1e-4"),
    *(str(10**9), str(10**12), str(10**400), "9" * 5000, "0x" + "f" * 5000, "010", "0o10", "0b1", "1_000", "1:30"),
    *(".nan", ".NaN", "NaN", "nan", ".inf", "-.Inf", "true", "yes", "on", "~", "null", "", "''", "' '", "٣"),
    *("2024-01-02", "2024-13-45", "!!bool x", "!!int ''", "!!float x", "!!timestamp x", "!!binary x", "!!set {a, b}"),
    *(
        "[]",
        "{}",
        "[[]]",
        "[1, 1]",
        "[1, 2, 3]",
        "[0, 0, 0]",
        "{a: b}",
        "{source: package}",
        "[a, a]",
        "['']",
        "[",
        "}",
    ),
    *("*a", "&a [*a]", "&a {a: *a}", "<<: *a", "!!python/object/apply:os.system [exit]", "!x y", "? [1]", "- 1", "---"),
    *('"\\0"', '"a\\nb"', '"\\ud800"', '"\\u2028"', "../..", "/", "a" * 300, "[" * 400, "meta", "cpu", "vit_b_16"),
    *("[p, pp-0.5]", "[p-s٣]", f"[p-s{2**32}]", f"[p-s{'9' * 5000}]", f"[{'p' * 300}]", "[pn-1e-3]", "['p\\n']"),
    *(
        "[alexnet]",
        "[inception_v3]",
        "{alexnet: {source: torchvision, weights: DEFAULT}}",
        f"{{source: file, path: a, sha256: {'0' * 64}}}",
    ),
)
SCALAR = re.compile(r"(?<=: )(\[[^\]]*\]|\{[^{}]*\}|[^\s,{}\[\]#]+)")
PLACES = [match.span() for match in SCALAR.finditer(TEXT)]
KEYS = [match.span() for match in re.finditer(r"\w+(?=:)", TEXT)]


NAMES = ["seed", "lr", "'a\\nb'", '"a\\nb"', "1", "~", "[1]", "true", "<<", "? ", "x" * 3000]


def sensible(params: Params) -> None:
    """What the stages do with the settings, without the images."""
    assert params.cells()
    for cell in params.cells():
        assert re.fullmatch(r"[a-z0-9_]+-[pn]+(-0?\.[0-9]+)*(-s[0-9]+)?", cell.name), cell.name
        assert len(f".{cell.name}.partial") < 255
        assert Recipe.parse(str(cell.recipe)) == cell.recipe
        torch.manual_seed(cell.seed)
    for seed in (params.data.seed, params.evaluate.seed, params.cams.seed, params.train.seed):
        np.random.default_rng((seed, 0))
        train_test_split([1, 2, 3], random_state=seed)
    for source in params.backbones.values():
        view = Preprocessing(2, 2, tuple(source.mean or (0.5,) * 3), tuple(source.std or (0.5,) * 3))
        assert view.view(torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)).abs().max() <= 1000
    run, weight = params.train, torch.nn.Parameter(torch.ones(2, 2))
    optimizer = torch.optim.SGD([weight], lr=run.lr, momentum=run.momentum, weight_decay=run.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=run.lr, total_steps=run.epochs * 100_003 + 1, pct_start=run.warmup, cycle_momentum=False
    )
    weight.sum().backward()
    optimizer.step()
    schedule.step()
    assert weight.isfinite().all()
    assert all(round(scale * params.image.size) >= 1 for scale in params.evaluate.scales)
    for text in (params.data.path, params.data.images, params.train.device, params.tracking.experiment):
        assert text.strip()
        assert "\0" not in text
        text.encode()
    json.dumps(asdict(params), allow_nan=False).encode()
    for value in params.flat("image", "train").values():
        assert not isinstance(value, int) or value < 2**32


def check(path: Path, text: str | bytes) -> None:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    params = result_or_clear_lines(lambda: load_params(path), f"{path}: ")
    if params is not None:
        sensible(params)


def test_the_real_file(tmp_path: Path) -> None:
    check(tmp_path / "params.yaml", TEXT)
    assert len(PLACES) > 50
    assert load_params(tmp_path / "params.yaml").cells()


@examples(150)
@given(places=st.lists(st.sampled_from(PLACES), min_size=1, max_size=3, unique=True), data=st.data())
def test_values(tmp_path: Path, places: list[tuple[int, int]], data: st.DataObject) -> None:
    text = TEXT
    for start, end in sorted(places, reverse=True):
        text = text[:start] + data.draw(st.sampled_from(VALUES)) + text[end:]
    check(tmp_path / "params.yaml", text)


@examples(100)
@given(
    place=st.sampled_from([(start, end) for start, end in PLACES if re.fullmatch(r"[\d.]+", TEXT[start:end])]),
    number=st.floats() | st.floats(0, 2) | st.integers() | st.integers(0, 200),
)
def test_numbers(tmp_path: Path, place: tuple[int, int], number: float) -> None:
    """Numbers of every size, where the file has numbers: most are of the right type."""
    text = {"nan": ".nan", "inf": ".inf", "-inf": "-.inf"}.get(repr(number), repr(number))
    check(tmp_path / "params.yaml", TEXT[: place[0]] + text + TEXT[place[1] :])


@examples(30)
@given(start_end=st.sampled_from(KEYS), name=st.sampled_from(NAMES))
def test_keys(tmp_path: Path, start_end: tuple[int, int], name: str) -> None:
    start, end = start_end
    check(tmp_path / "params.yaml", TEXT[:start] + name + TEXT[end:])


@examples(40)
@given(edit=st.sampled_from(["drop", "double", "move", "indent"]), at=st.integers(0, 99), to=st.integers(0, 99))
def test_lines(tmp_path: Path, edit: str, at: int, to: int) -> None:
    lines = TEXT.split("\n")
    line = lines.pop(at % len(lines))
    if edit == "double":
        lines[at:at] = [line, line]
    elif edit == "move":
        lines.insert(to % len(lines), line)
    elif edit == "indent":
        lines.insert(at, "  " + line)
    check(tmp_path / "params.yaml", "\n".join(lines))


@examples(50)
@given(data=damaged(TEXT.encode(), tuple(value.encode() for value in VALUES)))
def test_bytes(tmp_path: Path, data: bytes) -> None:
    check(tmp_path / "params.yaml", data)


@pytest.mark.parametrize("key", ["grid", "backbones", "data", "train"])
def test_yaml_bombs_are_refused_at_once(tmp_path: Path, key: str) -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    content = yaml.safe_dump({k: v for k, v in yaml.safe_load(TEXT).items() if k != key})
    check(tmp_path / "params.yaml", "\n".join([*levels, content, f"{key}: *a11"]))
    nested = TEXT.replace("[p, pp-0.6, pp-0.9, pn-0.6, pn-0.9]", "*a11")
    check(tmp_path / "params.yaml", "\n".join([*levels, nested]))


PIECES = ["p", "n", "pn", "-", "0.9", "0", "1", ".5", "0.", "1e-5", "_", " ", "\n", "٣", "nan", "0x1", "-s", "P", "\0"]


@examples(150)
@given(text=st.lists(st.sampled_from(PIECES), max_size=8).map("".join) | st.text(max_size=20))
def test_recipes(text: str) -> None:
    recipe = result_or_clear_lines(lambda: Recipe.parse(text), "recipe ")
    if recipe is not None:
        assert re.fullmatch(r"[pn]+(-[0-9.]+)*", text)
        assert Recipe.parse(str(recipe)) == recipe
        assert len(recipe.deltas) == len(recipe) - 1
        assert all(0 < delta < 1 for delta in recipe.deltas)
