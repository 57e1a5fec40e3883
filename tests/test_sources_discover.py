"""Walking files, folders and links."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from indexer.errors import FileRejectedError, SourceError
from indexer.sources.discover import Problem, SourceFile, discover
from indexer.types import Reason


def put(path: Path, data: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def names(found: Iterator[SourceFile | Problem], root: Path) -> list[str]:
    return [each.key.replace(f"{root}/", "") for each in found]


def files(found: Iterator[SourceFile | Problem]) -> list[SourceFile]:
    return [each for each in found if isinstance(each, SourceFile)]


def problems(found: Iterator[SourceFile | Problem]) -> list[tuple[str, Reason]]:
    found_problems = [each for each in found if isinstance(each, Problem)]
    return [(each.key.rpartition("/")[2], each.reason) for each in found_problems]


def test_folders_are_walked_depth_first_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b.dcm", "a/2.dcm", "a/10.dcm", "a/z/q.dcm", "c/1.dcm"):
        put(tmp_path / name)
    found = names(discover([tmp_path]), tmp_path)
    assert found == ["a/10.dcm", "a/2.dcm", "a/z/q.dcm", "b.dcm", "c/1.dcm"]


def test_very_deep_trees_are_no_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    depth = 1100  # more than Python's recursion limit; the path stays below PATH_MAX
    put(tmp_path / "z.dcm")
    monkeypatch.chdir(tmp_path)
    for _ in range(depth):
        Path("d").mkdir()
        os.chdir("d")
    deepest = put(Path("x.dcm"))
    try:
        assert [each.name for each in files(discover([tmp_path]))] == ["x.dcm", "z.dcm"]
    finally:  # pytest's own clean-up recurses
        deepest.unlink()
        os.chdir(tmp_path)
        os.removedirs("/".join(["d"] * depth))


def test_a_missing_path_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere does not exist; check"):
        discover([tmp_path, tmp_path / "nowhere"])


def test_what_two_paths_have_in_common_is_met_once(tmp_path: Path) -> None:
    file = put(tmp_path / "a/x.dcm")
    assert len(list(discover([tmp_path, tmp_path / "a", file]))) == 1
    assert len(list(discover([file, tmp_path / "a", tmp_path]))) == 1


@pytest.mark.parametrize("link", ["a_link.dcm", "z_link.dcm"])
def test_a_file_and_a_link_to_it_are_met_once(tmp_path: Path, link: str) -> None:
    put(tmp_path / "m.dcm")
    (tmp_path / link).symlink_to("m.dcm")
    assert len(list(discover([tmp_path]))) == 1


def test_links_out_of_the_folder_are_followed_once(tmp_path: Path) -> None:
    outside = put(tmp_path / "outside/o.dcm")
    put(tmp_path / "in/a.dcm")
    (tmp_path / "in/l1.dcm").symlink_to(outside)
    (tmp_path / "in/l2.dcm").symlink_to(outside)
    (tmp_path / "in/folder").symlink_to(outside.parent)
    found = names(discover([tmp_path / "in"]), tmp_path / "in")
    # The folder was walked before its file was met again through the links.
    assert found == ["a.dcm", "folder/o.dcm"]


def test_link_loops_end(tmp_path: Path) -> None:
    put(tmp_path / "top/in/a.dcm")
    put(tmp_path / "top/not_ours.dcm")
    (tmp_path / "top/in/up").symlink_to(tmp_path / "top")
    (tmp_path / "top/in/self").symlink_to("self")
    found = list(discover([tmp_path / "top/in"]))
    assert [each.key.rpartition("/")[2] for each in found] == ["a.dcm", "self"]
    assert isinstance(found[1], Problem)


def test_a_dangling_link_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "gone.dcm").symlink_to("nowhere.dcm")
    assert problems(discover([tmp_path])) == [("gone.dcm", Reason.UNREADABLE)]
    assert problems(discover([tmp_path / "gone.dcm"])) == [("gone.dcm", Reason.UNREADABLE)]


def test_hard_links_are_files_of_their_own(tmp_path: Path) -> None:
    put(tmp_path / "a.dcm")
    (tmp_path / "b.dcm").hardlink_to(tmp_path / "a.dcm")
    (tmp_path / "0.dcm").symlink_to("a.dcm")
    assert names(discover([tmp_path]), tmp_path) == ["a.dcm", "b.dcm"]


def test_unreadable_folders_and_files_are_problems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "closed/a.dcm")
    put(tmp_path / "closed.dcm")
    put(tmp_path / "open.dcm")
    scandir, access = os.scandir, os.access
    monkeypatch.setattr(  # tests may run as root, whom no permission stops
        os,
        "scandir",
        lambda p: (
            (_ for _ in ()).throw(PermissionError(13, "Permission denied"))
            if str(p).endswith("closed")
            else scandir(p)
        ),
    )
    monkeypatch.setattr(os, "access", lambda p, m: not p.endswith("closed.dcm") and access(p, m))
    found = list(discover([tmp_path]))
    assert problems(iter(found)) == [
        ("closed", Reason.UNREADABLE),
        ("closed.dcm", Reason.UNREADABLE),
    ]
    assert [each.name for each in files(iter(found))] == ["open.dcm"]


def test_a_fifo_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert problems(discover([tmp_path])) == [("pipe", Reason.UNREADABLE)]


def test_names_that_are_not_unicode_have_a_key_that_is(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/\xe9t\xe9.dcm"
    try:
        with open(raw, "wb") as stream:  # noqa: PTH123 - a bytes path
            stream.write(b"x")
    except OSError:
        pytest.skip("this file system takes Unicode only")
    (found,) = files(discover([tmp_path]))
    found.key.encode("utf-8")
    assert found.name == "\\udce9t\\udce9.dcm"
    assert found.read_bytes(10) == b"x"


def test_source_files_read_within_the_limit_and_travel_to_workers(tmp_path: Path) -> None:
    put(tmp_path / "a.dcm", b"0123456789")
    (found,) = files(discover([tmp_path]))
    again = pickle.loads(pickle.dumps(found))  # noqa: S301 - our own
    assert again == found
    assert (again.size, again.head(4), again.read_bytes(10)) == (10, b"0123", b"0123456789")
    with pytest.raises(FileRejectedError) as caught:
        again.read_bytes(9)
    assert caught.value.reason is Reason.TOO_LARGE
    (tmp_path / "a.dcm").write_bytes(b"grown meanwhile")
    with pytest.raises(FileRejectedError) as caught:
        again.read_bytes(10)
    assert caught.value.reason is Reason.TOO_LARGE
    (tmp_path / "a.dcm").unlink()
    with pytest.raises(FileRejectedError) as caught:
        again.read_bytes(10)
    assert caught.value.reason is Reason.UNREADABLE
