import pytest

from acol.files import atomic_folder, atomic_write, remove_leftovers, sha256


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep" / "file.txt"
    with atomic_write(path) as temporary:
        temporary.write_text("old")
    with pytest.raises(RuntimeError), atomic_write(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    with atomic_write(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert [file.name for file in path.parent.iterdir()] == ["file.txt"]
    with pytest.raises(OSError, match=r"deep'$"), atomic_write(path.parent):  # a folder has its name
        pass
    assert path.stat().st_mode & 0o400
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode  # as readable as any other new file


def test_leftovers_are_those_of_the_file_alone(tmp_path):
    with atomic_write(tmp_path / "a[1].npy") as ours, atomic_write(tmp_path / "a[1]-b.npy") as of_another:
        (tmp_path / "a[1].npy").touch()
        remove_leftovers(tmp_path / "a[1].npy")
        assert not ours.exists()
        assert of_another.exists()
        assert (tmp_path / "a[1].npy").exists()
        ours.touch()


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path):
    folder = tmp_path / "cell"
    with atomic_folder(folder) as partial:
        (partial / "old.png").touch()
    with pytest.raises(RuntimeError), atomic_folder(folder) as partial:
        (partial / "half.png").touch()
        raise RuntimeError
    assert [file.name for file in folder.iterdir()] == ["old.png"]
    (tmp_path / ".cell.partial").mkdir()  # as a killed process leaves it
    (tmp_path / ".cell.partial" / "half.png").touch()
    with atomic_folder(folder) as partial:
        (partial / "new.png").touch()
    assert [file.name for file in folder.iterdir()] == ["new.png"]
    assert [file.name for file in tmp_path.iterdir()] == ["cell"]


def test_an_error_without_a_name_gets_that_of_the_folder(tmp_path):
    with pytest.raises(OSError, match=r"new'$"), atomic_folder(tmp_path / "new"):
        raise OSError(28, "No space left on device")
    assert not list(tmp_path.iterdir())


def test_the_old_folder_comes_back_where_the_new_one_cannot_take_its_place(tmp_path):
    folder = tmp_path / "cell"
    with atomic_folder(folder) as partial:
        (partial / "old.png").touch()
    with pytest.raises(FileNotFoundError), atomic_folder(folder) as partial:
        partial.rmdir()
    assert [file.name for file in folder.iterdir()] == ["old.png"]
    folder.rename(tmp_path / ".cell.old")  # killed between the two renames
    with pytest.raises(RuntimeError), atomic_folder(folder):
        raise RuntimeError
    assert [file.name for file in folder.iterdir()] == ["old.png"]


def test_a_folders_gitignore_outlives_what_it_names(tmp_path):
    folder = tmp_path / "cell"
    folder.mkdir()
    (folder / ".gitignore").write_text("/maps.npz\n")
    (folder / "maps.npz").touch()
    with atomic_folder(folder) as partial:
        (partial / "maps.npz").write_text("new")
    assert {file.name: file.read_text() for file in folder.iterdir()} == {
        ".gitignore": "/maps.npz\n",
        "maps.npz": "new",
    }


def test_sha256_by_hand(tmp_path):
    (tmp_path / "empty").touch()
    assert sha256(tmp_path / "empty") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
