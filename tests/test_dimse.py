"""A DICOM node: what is sent to it is kept as it was sent, and nobody else may send."""

from __future__ import annotations

import io
import json
import logging
import queue
import shutil
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest
from dicom_senders import association, context_of, listening, needs_dcmtk, node, storescu
from pydicom.dataset import Dataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, MRImageStorage
from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_ECHO, C_STORE, N_EVENT_REPORT
from pynetdicom.dsutils import encode
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.sop_class import StorageCommitmentPushModel
from sent_objects import REAL, as_file, data_set_of, real_file, small_slice
from typer.testing import CliRunner

from api.cli.main import app
from api.dimse.node import AssociationEnded, Node
from api.dimse.options import NodeOptions, Tls
from api.dimse.streaming import StreamingProvider
from indexer.errors import ConfigError
from indexer.receiving.inbox import Inbox, InboxLimits

CT = [(CTImageStorage, ExplicitVRLittleEndian)]
COMMITMENT = [*CT, (StorageCommitmentPushModel, ExplicitVRLittleEndian)]


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path / "inbox")


@pytest.fixture
def as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are sent byte for byte."""
    monkeypatch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)


def files(inbox: Inbox) -> list[Path]:
    return sorted(path for path in inbox.folder.rglob("*") if path.is_file())


def write_slices(folder: Path, count: int) -> list[Path]:
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:04}.dcm").write_bytes(as_file(small_slice(number)))
    return sorted(folder.iterdir())


@pytest.mark.usefixtures("as_it_is")
@pytest.mark.parametrize("name", [name for name in REAL if name != "rtplan.dcm"])
def test_data_sets_are_kept_byte_by_byte_in_the_syntax_they_were_sent_in(
    inbox: Inbox, name: str
) -> None:
    path = real_file(name)
    with node(inbox) as port, association(port, [context_of(path)]) as sender:
        assert sender.send_c_store(path).Status == 0x0000
    (kept,) = files(inbox)
    assert data_set_of(kept) == data_set_of(path)
    meta = pydicom.dcmread(kept, stop_before_pixels=True).file_meta
    assert (meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID) == context_of(path)


@pytest.mark.usefixtures("as_it_is")
def test_a_file_that_contradicts_itself_is_refused(inbox: Inbox) -> None:
    path = real_file("rtplan.dcm")  # its file meta information names another instance
    with node(inbox) as port, association(port, [context_of(path)]) as sender:
        assert sender.send_c_store(path).Status == 0xA900
    assert files(inbox) == []


def test_classes_that_nobody_knows_are_stored_too(inbox: Inbox) -> None:
    ds = small_slice(1)
    ds.SOPClassUID = "1.2.276.0.7230010.9.8.7"
    with (
        node(inbox) as port,
        association(port, [(ds.SOPClassUID, ExplicitVRLittleEndian)]) as sender,
    ):
        assert sender.send_c_store(ds).Status == 0x0000
    assert len(files(inbox)) == 1


def test_a_node_is_told_of_what_came_and_logs_nothing_of_it(
    inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[AssociationEnded] = []
    with caplog.at_level(logging.DEBUG), node(inbox, told) as port:
        for number in (1, 2, 2):
            with association(port, CT, title="CT1") as sender:
                sender.send_c_store(small_slice(number))
    assert [(each.calling, each.stored, each.repeated) for each in told] == [
        ("CT1", 1, 0),
        ("CT1", 1, 0),
        ("CT1", 0, 1),
    ]
    assert len(files(inbox)) == 2
    assert "Sally" not in caplog.text
    assert "4711" not in caplog.text


@pytest.mark.parametrize(
    ("limits", "free", "status"),
    [
        (InboxLimits(free_bytes=1_000), 10, 0xA700),
        (InboxLimits(free_bytes=0, waiting=0), 10, 0xA700),
        (InboxLimits(free_bytes=0, object_bytes=1_000), 10, 0xC001),
    ],
)
def test_what_cannot_be_kept_is_refused_with_a_status(
    tmp_path: Path, limits: InboxLimits, free: int, status: int
) -> None:
    inbox = Inbox(tmp_path / "inbox", limits, lambda _folder: free)
    told: list[AssociationEnded] = []
    with node(inbox, told) as port, association(port, CT) as sender:
        assert sender.send_c_store(small_slice(1)).Status == status
    assert files(inbox) == []
    assert told[0].refused == 1


def test_a_disk_that_is_free_again_is_written_again_on_the_same_association(tmp_path: Path) -> None:
    free = [10]
    inbox = Inbox(tmp_path / "inbox", InboxLimits(free_bytes=1_000), lambda _folder: free[0])
    with node(inbox) as port, association(port, CT) as sender:
        assert sender.send_c_store(small_slice(1)).Status == 0xA700
        free[0] = 5_000
        assert sender.send_c_store(small_slice(1)).Status == 0x0000
    assert len(files(inbox)) == 1


def parts_of_request(
    sender: Association, ds: Dataset, sop_class: str, instance: str
) -> list[P_DATA]:
    """A C-STORE request of a data set under UIDs that need not be its own, ready to be sent."""
    request = C_STORE()
    request.MessageID, request.Priority = 7, 0
    request.AffectedSOPClassUID = UID(sop_class)
    request.AffectedSOPInstanceUID = UID(instance)
    request.DataSet = io.BytesIO(encode(ds, False, True) or b"")
    message = C_STORE_RQ()
    message.primitive_to_message(request)
    context = sender.accepted_contexts[0].context_id
    assert context is not None
    return list(message.encode_msg(context, 1_024))


def status_of(sender: Association, ds: Dataset, sop_class: str, instance: str) -> int:
    sender._reactor_checkpoint.clear()  # the answer is for us
    for part in parts_of_request(sender, ds, sop_class, instance):
        sender.dul.send_pdu(part)
    _, answer = sender.dimse.get_msg(block=True)
    sender._reactor_checkpoint.set()
    return int(answer.Status)


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
@pytest.mark.parametrize(
    ("sop_class", "instance", "status"),
    [
        (CTImageStorage, "2.25.1.1.1", 0x0000),
        (CTImageStorage, "2.25.1.1.2", 0xA900),
        (MRImageStorage, "2.25.1.1.1", 0x0122),
        (CTImageStorage, "not.a.uid", 0xC000),
    ],
)
def test_a_data_set_has_to_be_what_the_request_says(
    inbox: Inbox, sop_class: str, instance: str, status: int
) -> None:
    with node(inbox) as port, association(port, CT) as sender:
        assert status_of(sender, small_slice(1), sop_class, instance) == status
    assert len(files(inbox)) == (status == 0)


def test_a_data_set_without_uids_is_not_understood(inbox: Inbox) -> None:
    ds = small_slice(1)
    del ds.SOPInstanceUID
    with node(inbox) as port, association(port, CT) as sender:
        assert status_of(sender, ds, CTImageStorage, "2.25.1.1.1") == 0xC000
    assert files(inbox) == []


def test_only_callers_on_the_list_may_send(inbox: Inbox) -> None:
    with node(inbox, allow=("CT1",)) as port:
        with association(port, CT, title="STRANGER") as sender:
            assert sender.is_rejected
        with association(port, CT, title="CT1") as sender:
            assert sender.is_established


def test_only_addresses_on_the_list_may_connect(inbox: Inbox) -> None:
    with (
        node(inbox, addresses=("192.0.2.0/24",)) as port,
        association(port, CT) as sender,
    ):
        assert not sender.is_established
    with node(inbox, addresses=("127.0.0.0/8",)) as port, association(port, CT) as sender:
        assert sender.is_established


def test_associations_beyond_the_limit_are_rejected(inbox: Inbox) -> None:
    with node(inbox, associations=2) as port:
        with association(port, CT), association(port, CT), association(port, CT) as third:
            assert third.is_rejected
        with association(port, CT) as later:
            assert later.is_established


def test_strangers_are_kept_out_by_default(inbox: Inbox) -> None:
    assert NodeOptions().host == "127.0.0.1"
    for open_to_all in (NodeOptions(host="0.0.0.0"), NodeOptions(host="::")):  # noqa: S104
        with pytest.raises(ConfigError, match="--allow"):
            Node(inbox, open_to_all)
    for known in ({"allow": ("CT1",)}, {"addresses": ("10.0.0.0/8",)}, {"insecure": True}):
        Node(inbox, NodeOptions(host="0.0.0.0", **known))  # type: ignore[arg-type] # noqa: S104


@pytest.mark.parametrize(
    "options",
    [
        {"ae_title": ""},
        {"ae_title": "SEVENTEEN LETTERS"},
        {"ae_title": "BACK\\SLASH"},
        {"allow": ("ÄRZTE",)},
        {"addresses": ("10.0.0.300",)},
        {"associations": 0},
        {"pdu_bytes": 100},
        {"timeout": 0},
        {"port": 70_000},
        {"tls": Tls(Path("none.pem"), Path("none.key"))},
    ],
)
def test_wrong_options_are_named(inbox: Inbox, options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        Node(inbox, NodeOptions(**options))  # type: ignore[arg-type]


def test_a_port_in_use_is_one_clear_error(inbox: Inbox) -> None:
    with node(inbox) as port, pytest.raises(ConfigError, match=f"127.0.0.1:{port}"):
        Node(inbox, NodeOptions(port=port)).start()


def test_a_sender_that_goes_away_half_way_leaves_nothing(inbox: Inbox) -> None:
    with node(inbox) as port, association(port, CT) as sender:
        parts = parts_of_request(sender, small_slice(1), CTImageStorage, "2.25.1.1.1")
        assert len(parts) > 1
        for part in parts[:-1]:
            sender.dul.send_pdu(part)
        wait_until(lambda: files(inbox))
        sender.abort()
        wait_until(lambda: not files(inbox))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # the caller's
def test_a_sender_that_does_not_wait_for_answers_is_cut_off(inbox: Inbox) -> None:
    with node(inbox, timeout=5.0) as port, association(port, CT) as sender:
        for _ in range(200):
            for part in parts_of_request(sender, small_slice(1), CTImageStorage, "2.25.1.1.1"):
                sender.dul.send_pdu(part)
        wait_until(lambda: sender.is_aborted)
    assert len(files(inbox)) <= 1


def wait_until(true: Callable[[], object]) -> None:
    for _ in range(1_200):
        if true():
            return
        time.sleep(0.05)
    pytest.fail("it did not happen within 60 s")


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x04\0" + struct.pack(">L", 0xFFFFFFFF),
        b"\x01\0" + struct.pack(">L", 0xFFFFFFF0) + b"\0\1",
        b"\x01\0" + struct.pack(">L", 10) + bytes(10),
        b"",
    ],
)
def test_bytes_that_are_no_dicom_end_the_connection_and_nothing_else(
    inbox: Inbox, data: bytes
) -> None:
    with node(inbox) as port:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as stranger:
            stranger.sendall(data)
            stranger.shutdown(socket.SHUT_WR)
            while stranger.recv(4_096):
                pass
        with association(port, CT) as sender:
            assert sender.send_c_store(small_slice(1)).Status == 0x0000


def ask_for_commitment(sender: Association, *references: tuple[str, str]) -> int:
    asked = Dataset()
    asked.TransactionUID = "2.25.77"
    asked.ReferencedSOPSequence = []
    for sop_class, instance in references:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, instance
        asked.ReferencedSOPSequence.append(item)
    status, _ = sender.send_n_action(asked, 1, StorageCommitmentPushModel, "1.2.840.10008.1.20.1.1")
    return int(status.Status)


Reports = queue.Queue[tuple[int, Dataset]]


def note(event: evt.Event, reports: Reports) -> tuple[int, None]:
    reports.put((event.event_type, event.event_information))
    return 0x0000, None


def pass_on(event: evt.Event, noted: Reports, answered: Reports) -> None:
    """A report, once our answer to it is on its way: only then may we ask for the release."""
    if isinstance(event.pdu, P_DATA_TF) and not noted.empty():
        answered.put(noted.get())


def test_commitment_is_reported_on_the_same_association(inbox: Inbox) -> None:
    noted: Reports = queue.Queue()
    reports: Reports = queue.Queue()
    handlers = [
        (evt.EVT_N_EVENT_REPORT, note, [noted]),
        (evt.EVT_PDU_SENT, pass_on, [noted, reports]),
    ]
    with node(inbox) as port, association(port, COMMITMENT, evt_handlers=handlers) as sender:
        sender.send_c_store(small_slice(1))
        assert ask_for_commitment(sender, (CTImageStorage, "2.25.1.1.1")) == 0x0000
        kind, report = reports.get(timeout=20)
        assert (kind, report.TransactionUID) == (1, "2.25.77")
        assert [each.ReferencedSOPInstanceUID for each in report.ReferencedSOPSequence] == [
            "2.25.1.1.1"
        ]
        missing, other = (CTImageStorage, "2.25.9"), (MRImageStorage, "2.25.1.1.1")
        assert ask_for_commitment(sender, (CTImageStorage, "2.25.1.1.1"), missing, other) == 0
        kind, report = reports.get(timeout=20)
        assert kind == 2
        assert len(report.ReferencedSOPSequence) == 1
        failed = {
            each.ReferencedSOPInstanceUID: each.FailureReason for each in report.FailedSOPSequence
        }
        assert failed == {"2.25.9": 0x0112, "2.25.1.1.1": 0x0119}


def test_commitment_is_reported_on_a_new_association_where_the_peer_is_known(
    inbox: Inbox,
) -> None:
    reports: Reports = queue.Queue()
    peer = AE("CT1")
    peer.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
    server = peer.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, note, [reports])]
    )
    assert server is not None
    try:
        peers = {"CT1": ("127.0.0.1", server.server_address[1])}
        with node(inbox, peers=peers) as port:
            with association(port, COMMITMENT, title="CT1") as sender:
                sender.send_c_store(small_slice(1))
                assert ask_for_commitment(sender, (CTImageStorage, "2.25.1.1.1")) == 0x0000
            kind, report = reports.get(timeout=20)
        assert kind == 1
        assert len(report.ReferencedSOPSequence) == 1
    finally:
        server.shutdown()


def message(kind: type[Any], **said: Any) -> Any:
    made = kind()
    for name, value in said.items():
        setattr(made, name, value)
    return made


def test_an_answer_is_kept_for_whoever_waits_for_it(inbox: Inbox) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        entity = Association(AE(), "acceptor")
        entity.dimse_timeout = 0.2
        provider = StreamingProvider(entity, inbox, ours)
        uids = {
            "AffectedSOPClassUID": StorageCommitmentPushModel,
            "AffectedSOPInstanceUID": "1.2.840.10008.1.20.1.1",
        }
        report = message(N_EVENT_REPORT, MessageID=1, EventTypeID=1, **uids)
        answer = message(N_EVENT_REPORT, MessageIDBeingRespondedTo=1, Status=0, **uids)
        request = message(C_ECHO, MessageID=2)
        provider.send_msg(report, 1)
        for each in (answer, request):
            provider.msg_queue.put((1, each))
        assert provider.get_msg() == (1, request), "pynetdicom's own thread serves requests"
        assert provider.get_msg() == (None, None), "and leaves the answer"
        assert provider.get_msg(block=True) == (1, answer)
        provider.send_msg(report, 1)
        provider.msg_queue.put((1, request))
        assert provider.get_msg(block=True) == (None, None), "a request is no answer"
        assert provider.get_msg() == (1, request)
        provider.msg_queue.put((1, answer))
        assert provider.get_msg() == (1, answer), "that nobody waits for is not kept"


def test_a_request_for_commitment_of_nothing_is_refused(inbox: Inbox) -> None:
    with node(inbox) as port, association(port, COMMITMENT) as sender:
        assert ask_for_commitment(sender) == 0x0114


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA, and certificates of it for the node and for a sender; and one of another CA."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("certificates")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    for ca in ("ca", "other-ca"):
        files = ["-keyout", f"{folder}/{ca}.key", "-out", f"{folder}/{ca}.pem"]
        openssl("req", "-x509", *key, *files, "-subj", f"/CN={ca}")
    for name, ca in (("node", "ca"), ("sender", "ca"), ("stranger", "other-ca")):
        signed = ["-CA", f"{folder}/{ca}.pem", "-CAkey", f"{folder}/{ca}.key"]
        files = ["-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.pem"]
        more = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
        openssl("req", "-x509", *key, *files, *signed, *more)
    return folder


def calling(folder: Path, name: str = "") -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    if name:
        context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    return context


def tls_of(folder: Path, *, mutual: bool) -> Tls:
    return Tls(folder / "node.pem", folder / "node.key", folder / "ca.pem" if mutual else None)


def test_objects_come_over_tls_and_not_without(inbox: Inbox, certificates: Path) -> None:
    with node(inbox, tls=tls_of(certificates, mutual=False), timeout=5.0) as port:
        tls = (calling(certificates), "127.0.0.1")
        with association(port, CT, tls_args=tls) as sender:
            assert sender.send_c_store(small_slice(1)).Status == 0x0000
        with association(port, CT) as sender:
            assert not sender.is_established
    assert len(files(inbox)) == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of the caller
def test_with_a_ca_senders_have_to_show_a_certificate_of_it(
    inbox: Inbox, certificates: Path
) -> None:
    with node(inbox, tls=tls_of(certificates, mutual=True), timeout=5.0) as port:
        for name, welcome in (("sender", True), ("stranger", False), ("", False)):
            tls = (calling(certificates, name), "127.0.0.1")
            with association(port, CT, tls_args=tls) as sender:
                assert sender.is_established == welcome


def test_a_slow_handshake_keeps_nobody_else_waiting(inbox: Inbox, certificates: Path) -> None:
    with (
        node(inbox, tls=tls_of(certificates, mutual=False), timeout=20.0) as port,
        socket.create_connection(("127.0.0.1", port)),
        association(port, CT, tls_args=(calling(certificates), "127.0.0.1")) as sender,
    ):
        assert sender.is_established


@needs_dcmtk
def test_dcmtk_sends_and_is_answered(inbox: Inbox) -> None:
    with node(inbox) as port:
        echoed = subprocess.run(
            ["echoscu", "127.0.0.1", str(port)], capture_output=True, timeout=60, check=False
        )
        assert echoed.returncode == 0
        names = ("CT_small.dcm", "MR_small.dcm", "rtplan.dcm", "test-SR.dcm")
        sent = storescu(port, "-R", *map(real_file, names))
        assert sent.returncode == 0, sent.stderr
        for option, name in (
            ("-xw", "JPEG2000.dcm"),
            ("-xx", "JPEG-lossy.dcm"),
            ("-xr", "MR_small_RLE.dcm"),
        ):
            assert storescu(port, "-R", option, real_file(name)).returncode == 0
    kept = [pydicom.dcmread(path) for path in files(inbox)]
    compressed = ("JPEG2000.dcm", "JPEG-lossy.dcm", "MR_small_RLE.dcm")
    assert len(kept) == len(names) + len(compressed)
    for name in (*names, *compressed):
        ds = pydicom.dcmread(real_file(name))
        assert any(
            each.SOPInstanceUID == ds.SOPInstanceUID
            and each.get("PixelData") == ds.get("PixelData")
            for each in kept
        ), name
        if name in compressed:
            syntax = ds.file_meta.TransferSyntaxUID
            assert syntax in [each.file_meta.TransferSyntaxUID for each in kept]


@needs_dcmtk
def test_a_receiver_that_is_killed_half_way_loses_nothing_and_keeps_nothing_twice(
    tmp_path: Path,
) -> None:
    slices = write_slices(tmp_path / "slices", 200)
    library = tmp_path / "library"
    with listening(library, "--no-index") as (receiver, port):
        inbox = library / "inbox"
        sender = subprocess.Popen(
            ["storescu", "-v", "127.0.0.1", str(port), "+sd", str(tmp_path / "slices")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_until(lambda: len(list(inbox.glob("2*/*.dcm"))) >= 100)
        receiver.kill()
        receiver.wait()
        _, said = sender.communicate(timeout=60)
    acknowledged = said.count("Received Store Response (Success)")
    kept = list(inbox.glob("2*/*.dcm"))
    assert 50 <= acknowledged <= len(kept) < 200
    with listening(library, "--no-index") as (_, port):
        assert list((inbox / ".partial").iterdir()) == []
        assert storescu(port, "+sd", tmp_path / "slices").returncode == 0
    uids = [pydicom.dcmread(path).SOPInstanceUID for path in inbox.glob("2*/*.dcm")]
    assert sorted(uids) == sorted(pydicom.dcmread(path).SOPInstanceUID for path in slices)


def test_listen_refuses_strangers_in_one_line(tmp_path: Path) -> None:
    arguments = ["listen", "--library", str(tmp_path / "library"), "--host", "0.0.0.0", "--json"]  # noqa: S104
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert json.loads(result.stdout)["error"]["code"] == "config"
    assert "--allow" in result.output
    assert CliRunner().invoke(app, ["listen", "--peer", "nonsense"]).exit_code == 2
    assert CliRunner().invoke(app, ["listen", "--tls-cert", "a.pem"]).exit_code == 2
