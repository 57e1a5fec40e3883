"""Archives walked as folders, and what may go wrong in them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.errors import FileRejectedError
from indexer.sources import archives
from indexer.sources.archives import ArchiveLimits, close_archives
from indexer.sources.discover import Problem, SourceFile, discover
from indexer.types import Reason


@pytest.fixture(autouse=True)
def _closed_archives() -> Iterator[None]:
    yield
    close_archives()


def put(path: Path, data: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def files(found: Iterator[SourceFile | Problem]) -> list[SourceFile]:
    return [each for each in found if isinstance(each, SourceFile)]


def problems(found: Iterator[SourceFile | Problem]) -> list[tuple[str, Reason]]:
    found_problems = [each for each in found if isinstance(each, Problem)]
    return [(each.key.rpartition("/")[2], each.reason) for each in found_problems]


def make_zip(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def tar_bytes(members: list[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def test_zip_members_come_in_the_order_of_the_archive(tmp_path: Path) -> None:
    members = {
        "b/2.dcm": b"two",
        "b/": b"",
        "a.dcm": b"one",
        "__MACOSX/b/._2.dcm": b"fork",
        "b/._2.dcm": b"fork",
        "../../evil.dcm": b"only a name",
        "/etc/abs.dcm": b"only a name",
    }
    make_zip(tmp_path / "s.zip", members)
    found = files(discover([tmp_path]))
    assert [each.member for each in found] == [
        "b/2.dcm",
        "a.dcm",
        "../../evil.dcm",
        "/etc/abs.dcm",
    ]
    assert found[0].key == f"{tmp_path}/s.zip!/b/2.dcm"
    assert found[0].name == "2.dcm"
    assert [each.read_bytes(100) for each in found[:2]] == [b"two", b"one"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.zip"]


@pytest.mark.parametrize("name", ["s.zip", "export", "s.backup"])
def test_a_zip_is_known_by_its_content(tmp_path: Path, name: str) -> None:
    make_zip(tmp_path / name, {"a.dcm": b"x"})
    assert [each.member for each in files(discover([tmp_path]))] == ["a.dcm"]


@pytest.mark.parametrize("name", ["a.npz", "letter.docx", "odd.dcm"])
def test_other_things_that_are_zip_inside_stay_files(tmp_path: Path, name: str) -> None:
    make_zip(tmp_path / name, {"a.npy": b"x"})
    assert [each.member for each in files(discover([tmp_path]))] == [None]


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("t.tar", bytes),
        ("t.tgz", gzip.compress),
        ("t.tar.bz2", bz2.compress),
        ("t.tar.xz", lzma.compress),
        ("no_extension", gzip.compress),
    ],
)
def test_tar_members_are_read_in_and_out_of_order(tmp_path: Path, name: str, pack: object) -> None:
    assert callable(pack)
    members = [(f"d/{n}.dcm", bytes([n]) * 1000 * n) for n in range(1, 6)]
    put(tmp_path / name, pack(tar_bytes(members)))
    found = files(discover([tmp_path]))
    assert [(each.member, each.size) for each in found] == [(m, len(d)) for m, d in members]
    for order in (found, found[::-1]):
        for each in order:
            assert each.head(3) == dict(members)[each.member or ""][:3]
            assert each.read_bytes(10_000) == dict(members)[each.member or ""]


def test_a_gzipped_file_is_a_folder_of_one(tmp_path: Path) -> None:
    put(tmp_path / "a.dcm.gz", gzip.compress(b"0123456789" * 100))
    put(tmp_path / "b.nii.gz", gzip.compress(b"stays as it is"))
    put(tmp_path / "c.dcm.gz", gzip.compress(os.urandom(1000))[:-504] + b"\xff" * 4)
    put(tmp_path / "d.dcm.gz", gzip.compress(os.urandom(1000))[:-504] + b"\0" * 4)
    put(tmp_path / "e.gz", b"\x1f\x8b")
    inside, volume, *rest = discover([tmp_path])
    assert isinstance(inside, SourceFile)
    assert isinstance(volume, SourceFile)
    assert (inside.name, inside.size, volume.member) == ("a.dcm", 1000, None)
    assert inside.head(3) + inside.read_bytes(1000)[3:] == b"0123456789" * 100
    (cut,) = files(iter(rest))
    with pytest.raises(FileRejectedError) as caught:
        cut.read_bytes(1 << 20)
    assert caught.value.reason is Reason.ARCHIVE_CORRUPT
    corrupt = Reason.ARCHIVE_CORRUPT
    assert problems(iter(rest)) == [("c.dcm", corrupt), ("e", corrupt)]


def test_a_compressed_tar_is_unpacked_once_when_read_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = [(f"{n}.dcm", os.urandom(5000)) for n in range(50)]
    put(tmp_path / "t.tar.gz", gzip.compress(tar_bytes(members)))
    rewinds: list[object] = []
    rewind = gzip._GzipReader._rewind

    def counting(self: object) -> None:
        rewinds.append(self)
        rewind(self)

    monkeypatch.setattr(gzip._GzipReader, "_rewind", counting)
    for each in discover([tmp_path]):
        assert isinstance(each, SourceFile)
        assert each.head(132) == each.read_bytes(10_000)[:132]
        assert each.read_bytes(10_000) == dict(members)[each.member or ""]
    assert not rewinds


def test_an_archive_that_was_replaced_is_opened_anew(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "s.zip", {"a.dcm": b"old"})
    (old,) = files(discover([path]))
    assert old.read_bytes(10) == b"old"
    make_zip(path, {"a.dcm": b"newer"})
    os.utime(path, ns=(1, old.mtime_ns + 1))
    (new,) = files(discover([path]))
    assert new.mtime_ns != old.mtime_ns
    assert new.read_bytes(10) == b"newer"


def test_a_forked_worker_does_not_move_its_parents_position(tmp_path: Path) -> None:
    members = {f"{n}.dcm": os.urandom(100_000) for n in range(4)}
    make_zip(tmp_path / "s.zip", members, zipfile.ZIP_STORED)
    found = files(discover([tmp_path]))
    assert found[0].head(10) == members["0.dcm"][:10]
    assert archives._ARCHIVES._open  # the child must not use this handle
    archives._ARCHIVES._after_fork()
    assert not archives._ARCHIVES._open
    assert found[3].read_bytes(100_000) == members["3.dcm"]


def test_damaged_archives_are_problems(tmp_path: Path) -> None:
    whole = make_zip(tmp_path / "w.zip", {"a.dcm": os.urandom(1000)}).read_bytes()
    tar = tar_bytes([("a.dcm", os.urandom(1000)), ("b.dcm", b"x")])
    put(tmp_path / "bad/1.zip", whole[:-30])
    put(tmp_path / "bad/2.zip", b"no zip at all")
    put(tmp_path / "bad/3.tar", b"no tar at all")
    put(tmp_path / "bad/4.tar.gz", gzip.compress(tar)[:-600])
    put(tmp_path / "bad/5.tar", tar[:700])
    put(tmp_path / "bad/6.tar", tar[:1536] + b"garbage" * 200)
    found = list(discover([tmp_path / "bad"]))
    corrupt = [(f"{n}", Reason.ARCHIVE_CORRUPT) for n in range(1, 7)]
    assert [(key.partition(".")[0], reason) for key, reason in problems(iter(found))] == corrupt


def test_a_damaged_member_is_rejected_when_it_is_read(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "s.zip", {"a.dcm": b"A" * 1000}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"AAAA", b"AAAB", 1))
    (found,) = files(discover([path]))
    with pytest.raises(FileRejectedError) as caught:
        found.read_bytes(2000)
    assert caught.value.reason is Reason.ARCHIVE_CORRUPT


def test_encrypted_nested_and_repeated_members_are_problems(tmp_path: Path) -> None:
    inner = make_zip(tmp_path / "inner.zip", {"x.dcm": b"x"}).read_bytes()
    path = tmp_path / "outer.zip"
    make_zip(path, {"s.dcm": b"secret", "in.zip": inner, "noname": inner, "ok.dcm": b"ok"})
    data = bytearray(path.read_bytes())
    data[6] |= 1  # the flag in the local header, and in the directory
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    found = list(discover([path]))
    assert problems(iter(found)) == [
        ("s.dcm", Reason.ARCHIVE_ENCRYPTED),
        ("in.zip", Reason.ARCHIVE_NESTED),
        ("noname", Reason.ARCHIVE_NESTED),
    ]
    assert [each.name for each in files(iter(found))] == ["ok.dcm"]

    put(tmp_path / "r.tar", tar_bytes([("a.dcm", b"1"), ("a.dcm", b"2"), ("in.tar", b"")]))
    found = list(discover([tmp_path / "r.tar"]))
    assert [reason for _, reason in problems(iter(found))] == [
        Reason.ARCHIVE_CORRUPT,
        Reason.ARCHIVE_NESTED,
    ]
    assert [each.read_bytes(9) for each in files(iter(found))] == [b"1"]


def test_bombs_are_not_unpacked(tmp_path: Path) -> None:
    zeros = b"\0" * 300_000
    limits = ArchiveLimits(max_member_bytes=200_000, max_ratio=50, ratio_from_bytes=50_000)
    make_zip(tmp_path / "1.zip", {"big.dcm": zeros, "ratio.dcm": zeros[:100_000], "ok.dcm": b"ok"})
    put(tmp_path / "2.tgz", gzip.compress(tar_bytes([("r.dcm", zeros[:100_000]), ("x.dcm", b"")])))
    found = list(discover([tmp_path], limits=limits))
    assert problems(iter(found)) == [
        ("big.dcm", Reason.ARCHIVE_BOMB),
        ("ratio.dcm", Reason.ARCHIVE_BOMB),
        ("r.dcm", Reason.ARCHIVE_BOMB),
        ("2.tgz", Reason.ARCHIVE_BOMB),
    ]
    assert [each.name for each in files(iter(found))] == ["ok.dcm"]
    few = ArchiveLimits(max_members=2)
    assert problems(discover([tmp_path / "1.zip"], limits=few)) == [("1.zip", Reason.ARCHIVE_BOMB)]


def test_declared_sizes_that_lie_unpack_no_more_than_declared(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "lie.zip", {"a.dcm": b"\0" * 5_000_000})
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02") + 24
    data[at : at + 4] = (1000).to_bytes(4, "little")
    path.write_bytes(data)
    (found,) = files(discover([path]))
    assert found.size == 1000
    with pytest.raises(FileRejectedError) as caught:
        found.read_bytes(10_000)
    assert caught.value.reason is Reason.ARCHIVE_CORRUPT


def test_a_forged_negative_size_in_a_tar_does_not_loop(tmp_path: Path) -> None:
    data = bytearray(tar_bytes([("a.dcm", b"x" * 600)]))
    data[124:136] = (-1024 & ((1 << 95) - 1)).to_bytes(12, "big")
    data[124] = 0xFF
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    put(tmp_path / "n.tar", bytes(data))
    assert problems(discover([tmp_path])) == [("n.tar", Reason.ARCHIVE_CORRUPT)]


@settings(max_examples=60)
@given(st.data(), st.sampled_from(["f.zip", "f.tar", "f.tgz"]), st.binary(min_size=1, max_size=4))
def test_flipped_bytes_never_break_the_walk(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, name: str, patch: bytes
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    tar = tar_bytes([("a.dcm", b"1" * 700), ("b", b"2" * 40)])
    whole = {
        "f.zip": make_zip(folder / "w", {"a.dcm": b"1" * 700, "b": b"22"}).read_bytes(),
        "f.tar": tar,
        "f.tgz": gzip.compress(tar, mtime=0),
    }[name]
    at = data.draw(st.integers(0, len(whole) - 1))
    path = put(folder / name, whole[:at] + patch + whole[at + len(patch) :])
    for each in discover([path]):
        if isinstance(each, SourceFile):
            try:
                each.read_bytes(10_000)
            except FileRejectedError as error:
                assert error.reason.value.startswith("archive_") or error.detail
    close_archives()
