"""C-FIND: a node tells who may ask what its library has, by pseudonym, and writes it down."""

from __future__ import annotations

import io
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from dicom_senders import association, needs_dcmtk, node
from placed_library import Placed, place
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom.dimse_primitives import C_FIND
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelFind as StudyRoot,
)
from sqlalchemy import insert, select

from api.dimse.finding import Finder
from api.dimse.node import Node
from api.dimse.options import NodeOptions
from indexer.catalog.database import reading, transaction
from indexer.catalog.tables import Audit, Instance, Series
from indexer.errors import ConfigError
from indexer.library import Library
from indexer.receiving.inbox import Inbox

STUDIES = (
    Placed("p1", (1, 0), sex="F", modality="CR", body_part="CHEST", date="2026-01-05"),
    Placed("p1", (1, 0), sex="F", modality="CT", body_part="CHEST", date="2026-01-20"),
    Placed("p2", (1, 0), sex="M", modality="CR", body_part="HAND", date="2026-02-03"),
    Placed("p3", (1, 0), modality="MR", body_part="100%_HEAD"),
)


@pytest.fixture
def library(tmp_path: Path) -> Library:
    opened = Library.open(place(tmp_path / "library", STUDIES))
    with transaction(opened.engine) as db:
        for number, series in enumerate(db.execute(select(Series.id)).scalars().all()):
            db.execute(
                insert(Instance).values(
                    sop_instance_uid=f"2.25.{number}.1.1", series_id=series, kind="image",
                    sop_class_uid="1.2.840.10008.5.1.4.1.1.2", rows=64, columns=32, source="x",
                    file_sha256="",
                )
            )  # fmt: skip
    return opened


def studies(library: Library, level: str = "STUDY", **keys: str) -> list[str]:
    uid = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID"}.get(level, "SOPInstanceUID")
    return sorted(each[uid].value for each in ask(library, level, **{uid: "", **keys})[1])


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ({}, [0, 1, 2, 3]),
        ({"StudyInstanceUID": r"2.25.1\2.25.3\2.25.99"}, [1, 3]),
        ({"PatientID": "p1"}, [0, 1]),
        ({"PatientName": "P*"}, [0, 1, 2, 3]),
        ({"PatientID": "p?", "PatientSex": "M"}, [2]),
        ({"StudyDate": "20260105"}, [0]),
        ({"StudyDate": "20260110-20260203"}, [1, 2]),
        ({"StudyDate": "20260110-"}, [1, 2]),
        ({"StudyDate": "-20260110"}, [0]),
        ({"ModalitiesInStudy": "CR"}, [0, 2]),
        ({"ModalitiesInStudy": r"CT\MR"}, [1, 3]),
        ({"AccessionNumber": "4711"}, []),
    ],
)
def test_studies_are_matched_as_the_standard_has_it(
    library: Library, keys: dict[str, str], found: list[int]
) -> None:
    assert studies(library, **keys) == [f"2.25.{number}" for number in found]


def test_series_and_images_are_matched_under_what_is_above_them(library: Library) -> None:
    assert studies(library, "SERIES", Modality="CR", StudyInstanceUID="2.25.2") == ["2.25.2.1"]
    assert studies(library, "SERIES", BodyPartExamined="100%_*") == ["2.25.3.1"]
    assert studies(library, "SERIES", BodyPartExamined="C_EST") == []
    assert studies(library, "IMAGE", SeriesInstanceUID="2.25.1.1", Rows=64) == ["2.25.1.1.1"]


def ask(library: Library, level: str, **keys: Any) -> tuple[list[int], list[Dataset]]:
    """The statuses and results that a node answers."""
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(identifier, keyword, value)
    inbox = Inbox(library.inbox_folder)
    wanted = [(StudyRoot, ExplicitVRLittleEndian)]
    with (
        node(inbox, find=Finder(library)) as port,
        association(port, wanted, title="VIEWER") as asker,
    ):
        answers = list(asker.send_c_find(identifier, StudyRoot))
    return [status.Status for status, _ in answers], [each for _, each in answers if each]


def test_what_is_told_is_what_was_asked_for_with_pseudonyms_for_patients(library: Library) -> None:
    statuses, results = ask(
        library, "STUDY", StudyInstanceUID="", PatientName="", PatientID="p1", StudyDate="",
        ModalitiesInStudy="", NumberOfStudyRelatedInstances="", StudyTime="",
    )  # fmt: skip
    assert statuses == [0xFF00, 0xFF00, 0x0000]
    first = results[0]
    assert [each.StudyInstanceUID for each in results] == ["2.25.1", "2.25.0"], "newest first"
    first = results[1]
    assert (first.PatientID, first.PatientName) == ("p1", "p1")
    assert (first.StudyDate, first.ModalitiesInStudy) == ("20260105", "CR")
    assert (first.NumberOfStudyRelatedInstances, first.StudyTime) == (1, "")
    assert "StudyDescription" not in first


def test_a_key_that_nothing_is_matched_by_is_said_with_each_result(library: Library) -> None:
    asked = {"StudyInstanceUID": "2.25.0", "NumberOfStudyRelatedInstances": 7, "StudyTime": ""}
    statuses, results = ask(library, "STUDY", **asked)
    assert statuses == [0xFF01, 0x0000]
    assert (results[0].NumberOfStudyRelatedInstances, results[0].StudyTime) == (1, "")


def test_a_value_that_cannot_be_matched_is_refused(library: Library) -> None:
    many = [f"2.25.{number}" for number in range(1, 1_002)]
    assert ask(library, "STUDY", StudyInstanceUID=many)[0] == [0xA900]


def test_a_level_that_there_is_not_is_refused(library: Library) -> None:
    assert ask(library, "PATIENT", PatientID="")[0] == [0xA900]


def test_who_asked_and_whose_studies_were_told_is_in_the_audit(library: Library) -> None:
    ask(library, "STUDY", StudyInstanceUID="", PatientName="nobody*")
    ask(library, "STUDY", StudyInstanceUID="", ModalitiesInStudy="CR")
    with reading(library.engine) as db:
        rows = db.execute(select(Audit).order_by(Audit.id)).all()
    assert [(row.actor, row.action, row.origin) for row in rows] == [
        ("VIEWER", "query", "127.0.0.1")
    ] * 2
    assert rows[1].patients == ["p1", "p2"]
    assert rows[1].subject == {"what": "c-find", "level": "STUDY", "matches": 2}


def test_nobody_is_told_anything_by_default_and_no_stranger_ever(library: Library) -> None:
    inbox = Inbox(library.inbox_folder)
    wanted = [(StudyRoot, ExplicitVRLittleEndian)]
    with node(inbox) as port, association(port, wanted) as asker:
        assert not asker.is_established
    with (
        node(inbox, find=Finder(library), allow=("VIEWER",)) as port,
        association(port, wanted, title="STRANGER") as asker,
    ):
        assert asker.is_rejected
    open_to_all = NodeOptions(host="0.0.0.0", insecure=True)  # noqa: S104
    with pytest.raises(ConfigError, match="ask what the library has"):
        Node(inbox, open_to_all, find=Finder(library))


@needs_dcmtk
def test_findscu_of_dcmtk_is_answered_on_each_level(library: Library) -> None:
    inbox = Inbox(library.inbox_folder)
    levels = {
        "STUDY": ("StudyInstanceUID", "2.25.2"),
        "SERIES": ("SeriesInstanceUID", "2.25.2.1"),
        "IMAGE": ("SOPInstanceUID", "2.25.2.1.1"),
    }
    with node(inbox, find=Finder(library)) as port:
        for level, (keyword, uid) in levels.items():
            keys = [
                "-k",
                f"QueryRetrieveLevel={level}",
                "-k",
                keyword,
                "-k",
                "PatientID=p2",
                "-k",
                "Rows",
            ]
            asked = subprocess.run(
                ["findscu", "-S", "127.0.0.1", str(port), *keys],
                capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            assert asked.returncode == 0
            assert ("US 64" in asked.stdout + asked.stderr) == (level == "IMAGE")
            assert re.findall(r"UI \[([\d.]+)", asked.stdout + asked.stderr)[-1] == uid


def test_who_only_claims_a_title_is_never_told_beyond_this_machine(
    library: Library,
) -> None:
    inbox, everywhere = Inbox(library.inbox_folder), "0.0.0.0"  # noqa: S104
    with pytest.raises(ConfigError, match="anybody can claim an AE title"):
        Node(inbox, NodeOptions(host=everywhere, allow=("VIEWER",)), find=Finder(library))
    Node(inbox, NodeOptions(host=everywhere, addresses=("10.0.0.0/8",)), find=Finder(library))
    Node(inbox, NodeOptions(host=everywhere, allow=("CT1",)))  # who sends is told nothing


def test_requests_that_are_refused_are_in_the_audit_too(library: Library) -> None:
    ask(library, "PATIENT", PatientName="Doe^Jane")
    ask(library, "STUDY", StudyInstanceUID=[f"2.25.{number}" for number in range(1, 1_002)])
    with reading(library.engine) as db:
        rows = db.execute(select(Audit).order_by(Audit.id)).all()
    assert [(row.actor, row.action, row.outcome, row.origin) for row in rows] == [
        ("VIEWER", "query", "failed", "127.0.0.1")
    ] * 2
    assert [row.subject["level"] for row in rows] == ["", "STUDY"]
    assert not any("Doe" in str(row.subject) or row.patients for row in rows)


def test_a_request_that_cannot_be_read_is_in_the_audit_too(library: Library) -> None:
    inbox = Inbox(library.inbox_folder)
    wanted = [(StudyRoot, ExplicitVRLittleEndian)]
    broken = C_FIND()
    broken.MessageID, broken.Priority, broken.AffectedSOPClassUID = 1, 2, StudyRoot
    broken.Identifier = io.BytesIO(b"\x08\x00\x52\x00CS\xff\xff no data set")
    with (
        node(inbox, find=Finder(library)) as port,
        association(port, wanted, title="VIEWER") as asker,
    ):
        (context,) = asker.accepted_contexts
        assert context.context_id is not None
        asker._reactor_checkpoint.clear()  # else its own thread takes the answer
        asker.dimse.send_msg(broken, context.context_id)
        _, answer = asker.dimse.get_msg(block=True)
        asker._reactor_checkpoint.set()
    assert answer is not None and answer.Status in (0xC000, 0xA900)
    with reading(library.engine) as db:
        assert [row.outcome for row in db.execute(select(Audit)).all()] == ["failed"]
