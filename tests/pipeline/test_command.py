"""The console command: what it says of itself, and what it needs."""

import subprocess

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
    status, printed = say(monkeypatch, capsys, *arguments, "--help")
    assert status == 0
    assert [example for example in examples if example not in printed.out] == []


@pytest.mark.parametrize(
    ("word", "asked"), [("trian", "did you mean train?"), ("xyz", "choose one of look, train, predict, sample, export")]
)
def test_an_unknown_command_is_refused_with_what_was_meant(word, asked, monkeypatch, capsys):
    status, printed = say(monkeypatch, capsys, word, "photos")
    assert status == 2
    assert f"unknown command {word!r}; {asked}" in printed.err


def test_without_a_command_it_shows_its_help_and_it_knows_its_version(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["acol"])
    command.main()
    assert "acol train photos" in capsys.readouterr().out
    status, printed = say(monkeypatch, capsys, "--version")
    assert (status, printed.out.split()[0]) == (0, "acol")


def test_a_shell_completes_the_commands(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["acol", "--completion"])
    command.main()
    script = capsys.readouterr().out + "compgen -W 'look train' -- tr; complete -p acol"
    printed = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout
    assert all(name in printed for name in command.MODULES)
