"""The command line: exit codes, JSON for scripts, one clear line for every mistake."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from cohort_library import Indexed
from PIL import Image
from typer.main import get_command
from typer.testing import CliRunner, Result

from api.cli.main import app
from api.service import library as service
from api.service import search as searching
from indexer import __version__
from indexer.config import Settings
from indexer.library import Library
from indexer.phantoms import Kind
from indexer.searching.asking import SearchRequest, like
from indexer.types import Outcome

COMMANDS = sorted(get_command(app).commands)  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SYNTOPY_WORKERS", "1")
    monkeypatch.chdir(tmp_path)


def run(*arguments: object, says: str = "") -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments], input=says or None)


def answer(*arguments: object, code: int = 0) -> dict[str, Any]:
    """What a command prints with ``--json``, which is one object and nothing else."""
    result = run(*arguments, "--json")
    assert result.exit_code == code, result.output
    found = json.loads(result.stdout)
    assert isinstance(found, dict)
    return found


def refusal(*arguments: object) -> str:
    """The one line on standard error with which a command ends that was called wrongly."""
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.endswith("\n")
    assert "Traceback" not in result.stderr
    return result.stderr


def picture(path: Path, seed: int = 0) -> Path:
    values = np.random.default_rng(seed).integers(0, 255, (40, 50), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


def chest(indexed: Indexed) -> str:
    return next(s.study_instance_uid for s in indexed.plan if s.kind is Kind.CHEST)


# -- help -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"syntopy {command} " in result.stdout
    for option in re.findall(r"--\w[\w-]*", result.stdout.partition("Options")[0]):
        assert option in result.stdout.partition("Options")[2], "an example uses what is there"


def test_help_lists_the_commands_and_completion() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for word in (*COMMANDS, "--install-completion", "--show-completion", "not a medical device"):
        assert word in result.stdout


def test_help_loads_nothing_heavy() -> None:
    code = f"""
import sys
from typer.testing import CliRunner, Result
from api.cli.main import app
for command in {COMMANDS!r}:
    assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0
heavy = ["sqlalchemy", "faiss", "numpy", "scipy", "pydicom", "PIL", "alembic"]
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_version_is_the_packages() -> None:
    assert run("--version").stdout == f"syntopy {__version__}\n"


@pytest.mark.parametrize("arguments", [["nosuch"], ["search", "--colour", "red"], ["remove"]])
def test_a_wrong_call_is_code_two(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""


# -- init, index ----------------------------------------------------------------------------------


def test_init_says_what_it_made(tmp_path: Path) -> None:
    made = answer("init", tmp_path / "new", "--phi", "keep", "--store", "exact")
    assert made["path"] == str(tmp_path / "new")
    assert (made["phi"], made["store"], made["encoders"]) == ("keep", "exact", ["texture"])
    assert "exists and is not an empty folder" in refusal("init", tmp_path / "new")
    assert "'pseudonym' or 'keep', not 'all'" in refusal("init", "other", "--phi", "all")
    assert "syntopy index FOLDER --library" in run("init", tmp_path / "human").stdout


def test_index_counts_every_file(indexed: Indexed, tmp_path: Path) -> None:
    files = tmp_path / "files"
    shutil.copytree(indexed.folder(indexed.plan[0]), files)
    (files / "notes.txt").write_text("nothing to see")
    (files / "broken.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"junk")
    library = tmp_path / "library"

    first = answer("index", files, "--library", library)
    assert set(first) == {
        *("library", "files", "outcomes", "reasons", "items", "seconds", "stopped", "notes")
    }
    assert set(first["outcomes"]) == {outcome.value for outcome in Outcome}
    assert len(first["outcomes"]) == 6
    assert sum(first["outcomes"].values()) == first["files"] == 4
    assert first["outcomes"]["indexed"] == first["items"] == 1
    assert first["library"] == str(library)
    assert first["stopped"] is False

    again = answer("index", files, "--library", library)
    assert again["outcomes"]["unchanged"] == 2
    assert again["items"] == 0
    assert answer("index", files, "--library", library, "--strict", code=4)["files"] == 4

    human = run("index", files, "--library", library)
    assert human.exit_code == 0
    assert f"syntopy rejected --library {library}" in human.stdout
    assert human.stderr == ""


def test_nothing_to_index_is_code_three(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert answer("index", tmp_path / "empty", code=3)["files"] == 0
    (tmp_path / "empty" / "letter.txt").write_text("Dear colleague")
    result = run("index", tmp_path / "empty")
    assert result.exit_code == 3
    assert result.stderr == "error: nothing could be indexed\n"


def test_no_library_is_made_for_a_path_that_is_not_there(tmp_path: Path) -> None:
    result = run("index", tmp_path / "archvie", "--library", tmp_path / "library")
    assert result.exit_code == 2
    assert "archvie does not exist" in result.stderr
    assert not (tmp_path / "library").exists()


def test_the_library_is_the_environments_or_one_in_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = picture(tmp_path / "a.png")
    assert answer("index", file)["library"] == str(tmp_path / "library")
    monkeypatch.setenv("SYNTOPY_LIBRARY", str(tmp_path / "other"))
    assert answer("index", file)["library"] == str(tmp_path / "other")
    assert answer("index", file, "-L", "third")["library"] == str(tmp_path / "third")


def test_ctrl_c_ends_a_run_with_code_130_and_it_goes_on_later(
    indexed: Indexed, tmp_path: Path
) -> None:
    library = tmp_path / "library"
    call = [sys.executable, "-m", "api.cli.main", "index", indexed.cohort, "-L", library]
    with subprocess.Popen(call, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "made a new library" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert process.returncode == 130
    assert "stopped; the same command goes on where it ended" in rest
    assert answer("verify", "-L", library)["clean"]
    study = indexed.folder(indexed.plan[0])
    assert answer("index", study, "-L", library)["outcomes"]["rejected"] == 0


# -- search, show, info, rejected -----------------------------------------------------------------


def test_search_prints_the_service_s_answer(indexed: Indexed, tmp_path: Path) -> None:
    uid = chest(indexed)
    found = answer("search", "-L", indexed.library, "--uid", uid, "--k", "3")
    assert set(found) == {
        *("queries", "mix", "hits", "priors", "linked", "passed", "candidates", "fused"),
        *("exact", "spaces", "votes", "notes", "seconds"),
    }
    assert len(found["hits"]) == 3
    for hit in found["hits"]:
        assert {"id", "study_instance_uid", "score"} <= set(hit)
    with Library.open(indexed.library) as library:
        asked = SearchRequest(like(uid=uid), k=3)
        expected = searching.search(library, asked, Settings())
    assert [h["id"] for h in found["hits"]] == [h.id for h in expected.hits]
    assert [h["score"] for h in found["hits"]] == [h.score for h in expected.hits]

    sheet = tmp_path / "sheet.png"
    human = run("search", "-L", indexed.library, "--uid", uid, "-k", "3", "--sheet", sheet)
    assert human.exit_code == 0
    assert all(h.id in human.stdout for h in expected.hits)
    assert expected.notice in human.stdout
    assert f"contact sheet: {sheet}" in human.stdout
    assert sheet.is_file()


def test_search_by_file_and_with_every_option(indexed: Indexed) -> None:
    study = next(s for s in indexed.plan if s.prior_of and s.kind is Kind.CHEST)
    file = next(indexed.folder(study).rglob("IM*.dcm"))
    asked = ["search", "-L", indexed.library, "--image", file, "-k", "1000"]
    usual = {h["study_instance_uid"] for h in answer(*asked)["hits"]}
    assert study.prior_of not in usual
    priors = {h["study_instance_uid"] for h in answer(*asked, "--same-patient")["hits"]}
    assert study.prior_of in priors
    assert study.study_instance_uid not in priors
    only_ct = answer(*asked, "--filter", "modality=CT")["hits"]
    assert {h["modality"] for h in only_ct} == {"CT"}
    roles = {h["role"] for h in answer(*asked, "--role", "all", "--group", "item")["hits"]}
    assert roles == {"primary", "localizer"}


def test_search_takes_several_examples_reports_and_keywords(
    indexed: Indexed, tmp_path: Path
) -> None:
    study = next(s for s in indexed.plan if s.kind is Kind.CHEST)
    uid, head = study.study_instance_uid, next(s for s in indexed.plan if s.kind is Kind.HEAD)
    told = ["search", "-L", indexed.library, "--uid", uid, "--uid", head.study_instance_uid]
    mixed = answer(*told, "--unlike-uid", indexed.plan[-1].study_instance_uid, "-k", "3")
    assert [query["weight"] for query in mixed["queries"]] == [1, 1, -1]
    assert mixed["mix"].startswith("examples mixed by Rocchio")
    weighted = answer(*told, "--mix", "1,0.2,0", "-k", "3")["mix"]
    assert weighted == "examples mixed by Rocchio: 1 x the first example + 0.2 x the mean of 1 more"
    assert "--mix is three numbers" in refusal(*told, "--mix", "1,2")
    report = tmp_path / "report.txt"
    report.write_text(f"{study.findings_text} {study.impression_text}")
    by_file = answer("search", "-L", indexed.library, "--report", report, "-k", "5")
    assert by_file["queries"][0]["description"] == report.read_text()
    assert {voice["voice"] for hit in by_file["hits"] for voice in hit["voices"]} == {"keywords"}
    fused = ["search", "-L", indexed.library, "--uid", uid, "--keywords", "effusion"]
    assert "keywords #1" in run(*fused).stdout
    assert answer(*fused, "--group", "patient", "--diversity", "0.3", "-k", "4")["fused"]
    cut = run("search", "-L", indexed.library, "--uid", uid, "--min-score", "1")
    assert "nothing is close enough: the nearest has" in cut.stdout
    assert "closer than" in run("search", "-L", indexed.library, "--uid", uid).stdout
    refused = refusal("search", "-L", indexed.library, "--uid", uid, "--region", "1,2,3")
    assert "such as 420,310,120,90,17; not '1,2,3'" in refused


def test_show_tells_all_of_a_study(indexed: Indexed) -> None:
    study = indexed.plan[0]
    found = answer("show", study.study_instance_uid, "-L", indexed.library)
    assert found["study_instance_uid"] == study.study_instance_uid
    assert found["labels"] == [{"name": "label", "value": study.label}]
    assert study.findings_text in found["reports"][0]
    human = run("show", study.study_instance_uid, "-L", indexed.library)
    assert study.label in human.stdout
    assert study.findings_text in human.stdout


def test_info_counts(indexed: Indexed) -> None:
    found = answer("info", "-L", indexed.library)
    assert found["studies"] == len(indexed.plan)
    assert run("info", "-L", indexed.library).stdout.startswith("path ")


def test_rejected_lists_file_and_reason(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / "files").mkdir(exist_ok=True)
        (tmp_path / "files" / f"{number}.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"junk")
    good = picture(tmp_path / "files" / "good.png")
    assert run("index", tmp_path / "files").exit_code == 0
    files = answer("rejected")["files"]
    assert [Path(f["source"]).name for f in files] == ["0.dcm", "1.dcm", "2.dcm"]
    assert {f["outcome"] for f in files} == {"rejected"}
    reason = files[0]["reason"]
    assert answer("rejected", "--reason", reason, "--limit", "2")["files"] == files[:2]
    assert answer("rejected", "--reason", "timeout") == {"files": []}
    assert len(answer("rejected", "--all")["files"]) == 4
    lines = run("rejected", "--all").stdout.splitlines()
    assert len(lines) == 4, "one line a file"
    assert any(re.match(rf"indexed +{re.escape(str(good))}$", line) for line in lines)
    assert any(reason in line and "2.dcm" in line for line in lines)


def test_what_stands_in_files_is_no_markup_of_ours(indexed: Indexed, tmp_path: Path) -> None:
    folder = tmp_path / "[red]files :cat:"
    folder.mkdir()
    ds = pydicom.dcmread(next(indexed.folder(indexed.plan[0]).rglob("IM*.dcm")))
    ds.SeriesDescription = "[/bold] a [link=x]b"
    ds.save_as(folder / "a.dcm")
    (folder / "[dim].dcm").write_bytes(b"no picture")
    picture(folder / "b.png")
    library = tmp_path / "[blue]library"
    assert str(library) in run("index", folder, "-L", library).stdout
    assert str(folder / "[dim].dcm") in run("rejected", "-L", library).stdout
    uid = str(ds.StudyInstanceUID)
    assert "[/bold] a [link=x]b" in run("show", uid, "-L", library).stdout
    assert str(folder / "a.dcm") in run("show", uid, "-L", library).stdout
    found = run("search", "--image", folder / "b.png", "-L", library)
    assert "[/bold] a [link=x]b" in found.stdout
    assert "[bold]nobody" in refusal("show", "[bold]nobody", "-L", library)
    assert str(library) in run("info", "-L", library).stdout


# -- verify, remove -------------------------------------------------------------------------------


def test_verify_is_code_two_until_it_was_repaired(copy: Library) -> None:
    assert answer("verify", "-L", copy.path) == {
        "clean": True,
        "items": 58,
        "vectors": 58,
        "files": 537,
        "findings": [],
    }
    snapshot = next(copy.index_folder.glob("*.rows"))
    snapshot.write_bytes(b"damaged")
    found = answer("verify", "-L", copy.path, code=2)
    assert [f["check"] for f in found["findings"]] == ["index"]
    assert not found["clean"]
    human = run("verify", "-L", copy.path)
    assert human.exit_code == 2
    assert "wrong: index: 'texture': the index file was damaged" in human.stdout
    assert "not clean; try --repair" in human.stdout
    assert answer("verify", "--repair", "-L", copy.path)["findings"][0]["repaired"]
    assert run("verify", "-L", copy.path).stdout == "58 items, 58 vectors, 537 files: clean\n"


def test_a_damaged_index_is_said_and_answers_all_the_same(copy: Library, indexed: Indexed) -> None:
    asked = ["search", "-L", copy.path, "--uid", chest(indexed)]
    before = answer(*asked)["hits"]
    next(copy.index_folder.glob("*.rows")).write_bytes(b"damaged")
    after = answer(*asked)
    assert after["hits"] == before
    assert "the index file was damaged and is rebuilt from the catalog" in after["notes"]


def test_remove_asks_first(copy: Library, indexed: Indexed) -> None:
    uid = chest(indexed)
    refused = run("remove", uid, "-L", copy.path, says="n\n")
    assert refused.exit_code == 1
    assert "Remove this study" in refused.stderr
    assert service.show(copy, uid)
    result = run("remove", uid, "-L", copy.path, "--json", says="y\n")
    assert result.exit_code == 0
    # The runner shows what is typed; the question itself is on standard error.
    assert json.loads(result.stdout.removeprefix(" y\n"))["studies"] == 1
    assert "there is no such study" in refusal("remove", uid, "-L", copy.path, "--yes")


def test_remove_a_patient_by_issuer_and_id(copy: Library) -> None:
    called = ["remove", "SYNTOPY|DRAWN-0008", "--level", "patient", "-L", copy.path, "-y"]
    result = run(*called)
    assert result.exit_code == 0
    assert result.stdout.startswith("removed 3 studies")
    assert "no such patient" in refusal(*called)
    assert "not a 'folder'" in refusal("remove", "1", "--level", "folder", "-L", copy.path, "-y")


# -- mistakes: one line that names them, and nothing harmed ---------------------------------------


def digest(library: Path) -> dict[str, str]:
    lasting = [library / "catalog.sqlite", library / "key", *(library / "index").iterdir()]
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in lasting if p.is_file()}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["index", "nosuch"], "nosuch does not exist"),
        (["index", "files", "--metadata", "nosuch.csv"], "nosuch.csv"),
        (["index", "files", "--map", "report"], "--map takes FIELD=COLUMN, not 'report'"),
        (["index", "files", "--map", "report=text"], "--map needs a table"),
        (["index", "files", "--workers", "0"], "--workers is 1 to 256, not 0"),
        (["search"], "search with a file, a UID, a text, a report or keywords"),
        (["search", "--image", "nosuch.dcm"], "nosuch.dcm cannot be read"),
        (["search", "--image", "files"], "files holds no picture to search with"),
        (["search", "--image", "files/letter.txt"], "letter.txt"),
        (["search", "--uid", "1.2.3"], "'1.2.3'"),
        (["search", "--uid", "1.2.3", "-k", "0"], "k is 1 to 10000, not 0"),
        (["search", "--uid", "1.2.3", "-k", "10001"], "not 10001"),
        (["search", "--uid", "1.2.3", "--filter", "colour=red"], "unknown field 'colour'"),
        (["search", "--uid", "1.2.3", "--role", "boss"], "--role is one of primary, localizer"),
        (["search", "--uid", "1.2.3", "--group", "x"], "group is one of study, patient, item"),
        (["search", "--uid", "1.2.3", "--encoder", "x"], "no space of 'x'"),
        (["search", "--uid", "\udcff"], "not valid Unicode"),
        (["show", "1.2.3"], "'1.2.3'"),
        (["remove", "1.2.3", "-y"], "no such study"),
    ],
)
def test_a_mistake_is_named_and_harms_nothing(
    copy: Library, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "letter.txt").write_text("Dear colleague")
    copy.close()
    before = digest(copy.path)
    assert message in refusal(*arguments, "-L", copy.path)
    assert digest(copy.path) == before
    error = answer(*arguments, "-L", copy.path, code=2)["error"]
    assert message in error["message"]
    assert re.fullmatch(r"[a-z_]+", error["code"])


def wrong_version(library: Path) -> None:
    text = (library / "library.toml").read_text()
    (library / "library.toml").write_text(text.replace("format = 1", "format = 2"))


def wrong_key(library: Path) -> None:
    (library / "key").write_bytes(b"k" * 32)


def no_key(library: Path) -> None:
    (library / "key").unlink()


def no_catalog(library: Path) -> None:
    (library / "catalog.sqlite").unlink()


def spoilt_catalog(library: Path) -> None:
    (library / "catalog.sqlite").write_bytes(b"damaged " * 10_000)


def not_a_library(library: Path) -> None:
    (library / "library.toml").unlink()


@pytest.mark.parametrize(
    ("harm", "code", "message"),
    [
        (wrong_version, "library_version", "of format 2, this version reads format 1"),
        (wrong_key, "library_corrupt", "the key file of"),
        (no_key, "library_corrupt", "the key file of"),
        (no_catalog, "library_corrupt", "has no catalog.sqlite"),
        (spoilt_catalog, "library_corrupt", "catalog.sqlite is damaged"),
        (not_a_library, "library_not_found", "there is no library in"),
    ],
)
def test_a_library_that_is_not_in_order_is_refused_by_every_command(
    copy: Library,
    indexed: Indexed,
    harm: Callable[[Path], None],
    code: str,
    message: str,
) -> None:
    copy.close()
    harm(copy.path)
    before = {p: p.read_bytes() for p in copy.path.rglob("*") if p.is_file()}
    for arguments in (
        ["index", indexed.folder(indexed.plan[0])],
        ["search", "--uid", chest(indexed)],
        ["show", chest(indexed)],
        ["info"],
        ["rejected"],
        ["verify", "--repair"],
        ["remove", chest(indexed), "--yes"],
    ):
        assert message in refusal(*arguments, "-L", copy.path)
        assert answer(*arguments, "-L", copy.path, code=2)["error"]["code"] == code
    assert {p: p.read_bytes() for p in copy.path.rglob("*") if p.is_file()} == before


def test_a_locked_library_names_its_writer(copy: Library, indexed: Indexed) -> None:
    with copy.writing():
        for arguments in (
            ["index", indexed.folder(indexed.plan[0])],
            ["verify", "--repair"],
            ["remove", chest(indexed), "--yes"],
        ):
            assert f"is being written by process {os.getpid()}" in refusal(
                *arguments, "-L", copy.path
            )
        for arguments in (["info"], ["verify"], ["search", "--uid", chest(indexed)]):
            assert run(*arguments, "-L", copy.path).exit_code == 0, "readers are not disturbed"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_read_is_rejected_by_name(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    try:
        assert answer("index", closed, code=3)["reasons"] == {"unreadable": 1}
        assert str(closed) in answer("rejected")["files"][0]["source"]
    finally:
        closed.chmod(0o700)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write every folder")
def test_a_library_that_may_not_be_written_is_named(copy: Library, tmp_path: Path) -> None:
    copy.close()
    copy.path.chmod(0o500)
    try:
        assert f"{copy.path} cannot be written" in refusal("index", tmp_path, "-L", copy.path)
    finally:
        copy.path.chmod(0o700)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("SYNTOPY_WORKRES", "3", "unknown environment variable SYNTOPY_WORKRES; there are"),
        ("SYNTOPY_WORKERS", "many", "environment variable SYNTOPY_WORKERS: "),
        ("SYNTOPY_MAX_FILE_MB", "0", "environment variable SYNTOPY_MAX_FILE_MB: "),
    ],
)
def test_a_wrong_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str, message: str
) -> None:
    monkeypatch.setenv(name, value)
    for arguments in (["index", "."], ["search", "--uid", "1"], ["init", "x"], ["info"]):
        assert message in refusal(*arguments)
    assert not list(tmp_path.iterdir()), "nothing was made"


# -- demo -----------------------------------------------------------------------------------------


def test_demo_with_ones_own_data(indexed: Indexed, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for study in [s for s in indexed.plan if s.kind is Kind.CHEST][:3]:
        shutil.copytree(indexed.folder(study), data / study.study_instance_uid)
    before = {p: p.read_bytes() for p in data.rglob("*") if p.is_file()}
    result = run("demo", "--data", data, "--folder", tmp_path / "demo", "--sheet", "n.png",
                 "--no-serve")  # fmt: skip
    assert result.exit_code == 0, result.output
    assert (tmp_path / "n.png").is_file()
    assert {p: p.read_bytes() for p in data.rglob("*") if p.is_file()} == before
    tried = [li.split() for li in result.stdout.splitlines() if " rejected -L " in li]
    assert run(*tried[0][1:]).exit_code == 0, "what it says to try next works"
    assert "queue “outliers”: made" in result.stdout
    again = run("demo", "--data", data, "--folder", tmp_path / "demo", "--sheet", "n.png", "--json")
    steps = {each["step"]: each["outcome"] for each in json.loads(again.stdout)["steps"]}
    assert steps["queue “outliers”"] == "there"
