"""Files that are replaced whole."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest

from graphmask._atomic import check_replaceable, replacing, write_text


@pytest.mark.parametrize("error", [OSError(28, "full"), KeyboardInterrupt()])
@pytest.mark.parametrize("former", ["before", None])
def test_an_exception_leaves_what_was_there(
    former: str | None, error: BaseException, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    if former is not None:
        path.write_text(former)

    def write() -> None:
        with replacing(path) as aside:
            assert (aside.parent, aside.suffix) == (tmp_path, ".csv")
            aside.write_text("half")
            raise error

    with pytest.raises(type(error)):
        write()
    assert [x.read_text() for x in tmp_path.iterdir()] == ([] if former is None else [former])


def test_links_permissions_and_the_home_folder_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    path, link = tmp_path / "a", tmp_path / "link"
    write_text("~/a", "first")
    path.chmod(0o640)
    link.symlink_to("a")
    with replacing(link) as aside:
        aside.touch(0o600)
        aside.write_text("second")
    assert link.is_symlink()
    assert path.read_text() == "second"
    assert path.stat().st_mode & 0o777 == 0o640


def test_the_check_writes_nothing(tmp_path: Path) -> None:
    check_replaceable(tmp_path / "a")
    assert not list(tmp_path.iterdir())
    for path, error in ((tmp_path / "absent" / "a", FileNotFoundError), (tmp_path, OSError)):
        with pytest.raises(error):
            check_replaceable(path)


def test_what_is_no_file_is_written_in_place() -> None:
    write_text(os.devnull, "text")
    assert Path(os.devnull).is_char_device()


def test_read_only_files_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_text("before")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write to any file
    for write in (check_replaceable, lambda path: write_text(path, "after")):
        with pytest.raises(PermissionError, match="Permission denied"):
            write(path)
    assert path.read_text() == "before"


def left_behind(path: Path) -> list[str]:
    return sorted(x.name for x in path.parent.iterdir() if x.name[0] == "." and x != path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are killed")
def test_the_next_writer_takes_the_place_of_a_killed_one(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    if (child := os.fork()) == 0:
        with replacing(path) as aside:
            aside.write_text("more than the next one writes")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert left_behind(path) == [".model-0.safetensors"]
    write_text(path, "new")
    assert path.read_text() == "new"
    assert left_behind(path) == []


def test_writers_at_once_have_places_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with ExitStack() as stack:
        places = [stack.enter_context(replacing(path)) for _ in range(10)]
        assert len(set(places)) == 10
        for number, place in enumerate(places):
            assert place.read_text() == ""
            place.write_text(str(number))
    assert path.read_text() == "0"  # the last to leave
    assert left_behind(path) == []


def test_files_of_others_in_the_place_are_left_alone(tmp_path: Path) -> None:
    path, other = tmp_path / "a.txt", tmp_path / "other"
    other.write_text("other")
    (tmp_path / ".a-0.txt").symlink_to(other)
    os.link(other, tmp_path / ".a-1.txt")
    (tmp_path / ".a-2.txt").mkdir()
    write_text(path, "new")
    assert (path.read_text(), other.read_text()) == ("new", "other")
    assert left_behind(path) == [".a-0.txt", ".a-1.txt", ".a-2.txt"]
