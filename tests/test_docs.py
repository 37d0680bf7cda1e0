"""README and docs: examples run, settings are accepted, each command is run by a test or says what it needs."""

import doctest
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import acol
from acol import metrics
from pipeline.command import MODULES
from pipeline.params import load_params
from tests import settings_page

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LIBRARY = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

# How a command begins: the test that runs it, or what it runs. All others say `# needs ...` in or above their line.
RUN_BY = {
    "acol champion": "tests/pipeline/test_champion.py::test_a_champion_is_promoted_drifts_and_is_taken_back",
    "acol drift": "tests/pipeline/test_champion.py::test_a_champion_is_promoted_drifts_and_is_taken_back",
    "acol export": "tests/pipeline/test_export.py::test_a_checkpoint_becomes_a_file",
    "acol gate": "tests/pipeline/test_gate.py::"
    "test_the_command_says_its_decision_in_one_line_a_file_and_its_exit_status",
    "acol init": "tests/pipeline/test_init.py::test_from_images_to_predictions_and_from_corrected_boxes_to_scores",
    "acol look": "tests/pipeline/test_look.py::test_the_settings_that_it_prints_are_those_that_fit",
    "acol predict": "tests/pipeline/test_train_acol.py::test_the_command_that_it_names_next_works",
    "acol report": "tests/pipeline/test_init.py::test_from_images_to_predictions_and_from_corrected_boxes_to_scores",
    "acol verify": "tests/pipeline/test_champion.py::test_a_model_agrees_with_its_card_until_one_of_both_is_changed",
    "acol train": "tests/pipeline/test_train_acol.py::test_trains_scores_draws_and_tracks",
    "curl localhost:5000/invocations": "tests/pipeline/tracking/test_registry.py::"
    "test_a_served_champion_answers_and_reads_no_file_of_its_server",
    "curl localhost:8000/predict": "tests/pipeline/test_serve.py::test_a_running_service",
    "dvc checkout --force": "tests/faults/test_repro.py::test_an_interrupted_experiment_is_taken_back",
    "dvc exp run -S": "tests/test_docs.py::test_dvc_takes_a_setting_for_an_experiment",
    "dvc metrics show": "tests/pipeline/test_repro.py::test_metrics_params_and_plots_say_something",
    "dvc params diff": "tests/test_docs.py::test_dvc_takes_a_setting_for_an_experiment",
    "dvc plots show": "tests/pipeline/test_repro.py::test_metrics_params_and_plots_say_something",
    "dvc push": "tests/pipeline/test_shared_stores.py::test_another_machine_pulls_everything_and_trains_nothing",
    "dvc remote": "tests/pipeline/test_shared_stores.py::test_another_machine_pulls_everything_and_trains_nothing",
    "dvc repro": "tests/pipeline/test_repro.py::test_leaves_what_it_promises",
    "git restore": "tests/faults/test_repro.py::test_an_interrupted_experiment_is_taken_back",
    "make cluster": "tests/test_package.py::test_the_lock_holds_what_setup_asks_for",
    "make cells": "tests/pipeline/test_shared_stores.py::test_cells_at_once_end_as_one_after_the_other",
    "make gate": "tests/pipeline/test_gate.py::"
    "test_the_command_says_its_decision_in_one_line_a_file_and_its_exit_status",
    "make repro": "tests/pipeline/test_repro.py::test_leaves_what_it_promises",
    "make retrain": "tests/pipeline/test_retrain.py::test_unchanged_inputs_pull_everything_and_train_nothing",
    "make search": "tests/pipeline/test_search.py::test_killed_in_the_middle_it_goes_on_to_the_same_end",
    "make serve": "tests/pipeline/test_serve.py::test_a_running_service",
    "make setup": "tests/test_package.py::test_the_lock_holds_what_setup_asks_for",
    "make test": "tests/test_docs.py::test_every_command_is_run_by_a_test_or_says_what_it_needs",  # this one among all
    "make ui": "tests/pipeline/test_ui.py::test_the_page_shows_the_cells_by_score_and_charts_them_against_delta",
    "mlflow run": "tests/test_docs.py::test_mlflow_runs_the_stage_that_the_docs_name",
    "mlflow server": "tests/pipeline/test_shared_stores.py::test_cells_at_once_end_as_one_after_the_other",
    "pip install": "tests/test_package.py::test_the_readmes_library_snippet_runs_with_the_library_alone",
    "python -m pipeline.kubeflow compile": "tests/pipeline/test_kubeflow.py::"
    "test_the_graph_is_that_of_dvc_cell_by_cell",
    "python -m pipeline.kubeflow run": "tests/pipeline/test_kubeflow.py::test_run_here_it_ends_in_the_same_numbers",
    "python -m pipeline.predict": "tests/pipeline/tracking/test_registry.py::"
    "test_the_command_writes_an_overlay_a_map_and_a_line_for_each_image",
    "torchrun --nproc-per-node 2 -m pipeline.evaluate": "tests/pipeline/test_distributed.py::"
    "test_two_processes_evaluate_to_the_bits_of_one",
    "torchrun --nproc-per-node 2 -m pipeline.train": "tests/pipeline/test_distributed.py::"
    "test_two_processes_give_the_losses_of_one",
}
OF_THE_SHELL = ("cd ", ". .venv/bin/activate", "export ", "git commit ")


def blocks(text, *languages):
    """The contents of the fenced blocks in one of the languages; "" is a block that names none."""
    return [
        content for language, content in re.findall(r"```(\w*)\n(.*?)```", text, re.DOTALL) if language in languages
    ]


def commands_of(page):
    """The commands that a page shows in blocks, and README in its text too, with their comments."""
    text, lines = page.read_text(encoding="utf-8"), []
    for block in blocks(text, "", "bash", "sh"):
        needs = ""
        for line in block.replace("\\\n", " ").splitlines():
            needs = f" {line}" if line.startswith("# needs ") else needs  # of all that follow in the block
            lines.append(line + needs)
    if page.name == "README.md":
        prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
        lines += re.findall(r"`((?:acol|dvc|make|mlflow|pip|torchrun) [^`\n]+)`", prose)
    return [" ".join(line.split()) for line in lines if re.match(r"[a-z.]+ |[A-Z_]+=\S* ", line)]


COMMANDS = {command: page.name for page in PAGES for command in commands_of(page)}


def test_the_commands_are_found():
    assert {"make repro", "acol train", "dvc push"} <= {" ".join(command.split()[:2]) for command in COMMANDS}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_run_by_a_test_or_says_what_it_needs(command):
    if "# needs " in command or command.startswith(OF_THE_SHELL):
        return
    (test,) = {test for begin, test in RUN_BY.items() if command.startswith(begin)} or {None}
    assert test, f"{COMMANDS[command]}: {command}: add the test that runs it to RUN_BY, or say `# needs ...`"
    file, name = test.split("::")
    assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("command", [command for command in COMMANDS if re.search(r"\bacol |-m |\bmake ", command)])
def test_our_own_commands_take_the_options_shown(command):
    for part in re.split(r" && | \| ", command.split(" # ")[0]):
        if target := re.match(r"make ([a-z]+)", part):
            assert re.search(rf"^{target[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        if module := re.search(r"-m ((?:pipeline|benchmarks)\.\w+)(.*)|acol (\w+)(.*)", part):
            name = module[1] or MODULES[module[3]]
            path = ROOT / name.replace(".", "/")  # a module, or a folder of them
            files = [*path.glob("*.py")] if path.is_dir() else [path.with_suffix(".py")]
            source = "".join(file.read_text(encoding="utf-8") for file in files)
            if "predict.add_options(" in source:  # the options of another command
                source += (ROOT / "pipeline/predict.py").read_text(encoding="utf-8")
            options = [word for word in shlex.split(module[2] or module[4] or "") if word.startswith("--")]
            assert [word for word in options if f'"{word}"' not in source and word != "--help"] == []


# What brings a package beyond those of `make setup`.
BROUGHT = {"fastapi": "serve-setup", "kfp": "cluster", "httpx": "test-setup", "onnxruntime": "test-setup"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_names_the_target_of_make_that_installs_what_its_commands_import(page):
    text = page.read_text(encoding="utf-8")
    for name in set(re.findall(r"python -m ((?:pipeline|benchmarks)(?:\.\w+)+)", text)):
        path = ROOT / name.replace(".", "/")
        files = [*path.glob("*.py")] if path.is_dir() else [path.with_suffix(".py")]
        code = "".join(file.read_text(encoding="utf-8") for file in files)
        for package, target in BROUGHT.items():
            imported = re.search(rf"^ *(import|from) {package}\b", code, re.MULTILINE)
            assert not imported or re.search(rf"make [a-z ]*\b({target}|test-setup)\b", text), (
                f"{name} imports {package}"
            )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_files_that_a_page_names_are_there(page):
    text = page.read_text(encoding="utf-8")
    ours = re.findall(r"`((?:acol|benchmarks|docs|experiments|pipeline|tests)/[\w./-]+\.\w+)", text)
    linked = [page.parent / target for target in re.findall(r"\]\(([^)#:]+)[^):]*\)", text)]
    assert [str(file) for file in [*(ROOT / name for name in ours), *linked] if not file.exists()] == []


def test_the_readmes_settings_for_ones_own_images_are_a_whole_file(tmp_path):
    (settings,) = blocks(README, "yaml")
    (tmp_path / "params.yaml").write_text(settings)
    (tmp_path / "dvc.yaml").touch()
    params = load_params(tmp_path / "params.yaml")
    assert len(params.cells()) == 8
    for name in params.grid.backbones:  # what is frozen must be a part of each
        backbone = acol.ACoL(params.model_of(name), "p", 2, None, params.train.output_stride).backbone
        assert backbone.freeze(params.train.freeze) > 0


def test_mlflow_runs_the_stage_that_the_docs_name(make_tiny_project):
    (command,) = (command for command in COMMANDS if command.startswith("mlflow run"))
    project = make_tiny_project()
    project.repro("split", "pretrained")
    project.run(*shlex.split(command))
    assert [path.parent.name for path in project.root.glob("models/*/best.pt")] == ["lite0-pn-0.9"]


def test_dvc_takes_a_setting_for_an_experiment(make_tiny_project):
    (command,) = (shlex.split(command) for command in COMMANDS if command.startswith("dvc exp run -S"))
    project = make_tiny_project()
    project.run("git", "add", "-A")
    project.run("git", "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qm", "Begin")
    assert "Queued experiment" in project.run(*command, "--queue").stdout
    project.edit({("train", "lr"): 0.123})
    assert "0.123" in project.run("dvc", "params", "diff").stdout


def test_the_examples_of_the_library_run_and_answer_as_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    examples = doctest.DocTestParser().get_doctest(LIBRARY, {}, "docs/library.md", "docs/library.md", 0)
    failed = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(examples).failed
    assert failed == 0
    assert len(examples.examples) > 50


# What a function returns, and errors: no user makes one.
RETURNED = {"ACoLOutput", "Classification", "Difference", "InputError", "Interval", "MaskResult", "MaxBoxAccV2Result"}
RETURNED |= {"Prediction"}


def test_each_name_that_users_call_has_an_example_that_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for label in ("disc", "square"):
        Path("photos", label).mkdir(parents=True)
        for n in range(8):
            Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(Path("photos", label, f"{n}.png"))
    model = acol.ACoL("timm/test_resnet", "pn-0.9", 2)
    card = acol.ModelCard("timm/test_resnet", "pn-0.9", 32, ("disc", "square"), acol.Preprocessing(32, 36), "float32")
    acol.save_model("best.pt", card, model.state_dict())
    for package in (acol, metrics):
        known = {name: getattr(package, name) for name in package.__all__} | {"np": np, "torch": torch, "Path": Path}
        for name in sorted({*package.__all__} - RETURNED):
            example = doctest.DocTestParser().get_doctest(known[name].__doc__, dict(known), name, None, None)
            assert example.examples, name
            assert doctest.DocTestRunner().run(example).failed == 0


@pytest.mark.parametrize("package", [acol, metrics])
def test_every_public_name_is_on_the_page(package):
    assert [name for name in package.__all__ if not re.search(rf"\b{name}\b", LIBRARY)] == []
    assert all(getattr(package, name) for name in package.__all__)


def test_the_reference_of_settings_is_that_of_their_definitions():
    written = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert written == settings_page.page(), "run python -m tests.settings_page > docs/settings.md"


def test_the_notebook_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    cells = json.loads((ROOT / "examples" / "two-heads.ipynb").read_text(encoding="utf-8"))["cells"]
    code = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    assert "per_class=40" in code
    names = {}
    exec(code.replace("per_class=40", "per_class=8"), names)  # fewer images, and so less time
    assert names["difference"].low <= names["difference"].difference <= names["difference"].high
