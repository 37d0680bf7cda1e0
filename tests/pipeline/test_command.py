"""The console command: what it says of itself, and what it needs."""

import pytest

from pipeline import command


def say(monkeypatch, capsys, *arguments):
    """What the command prints before it ends, and its exit status."""
    monkeypatch.setattr("sys.argv", ["acol", *arguments])
    with pytest.raises(SystemExit) as ended:
        command.main()
    return ended.value.code, capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "examples"),
    [
        ([], ["acol train photos", "acol predict new/*.jpg --model"]),
        (["train"], ["usage: acol train ", "  acol train photos\n"]),
        (["predict"], ["usage: acol predict ", "  acol predict photos 'new/*.jpg' --model"]),
    ],
)
def test_help_shows_examples(arguments, examples, monkeypatch, capsys):
    status, said = say(monkeypatch, capsys, *arguments, "--help")
    assert status == 0
    assert [example for example in examples if example not in said.out] == []


def test_an_unknown_command_is_refused_with_the_known_ones(monkeypatch, capsys):
    status, said = say(monkeypatch, capsys, "trian", "photos")
    assert status == 2
    assert "invalid choice: 'trian' (choose from 'look', 'train', 'predict', 'export')" in said.err
