"""The watch over what arrives: flags, drift, and messages that get there whatever happens."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from free_ports import free_port
from hypothesis import given, settings
from hypothesis import strategies as st
from placed_library import Placed, add, on_circle, place
from sqlalchemy import delete, select
from typer.testing import CliRunner, Result
from webhook_receiver import SECRET, Receiver, receiving

from api.cli.main import app
from api.service.drifting import arrival_windows
from api.service.drifting.watch import Event, Judged, WatchRequest, watch
from api.service.judging import ood
from api.service.library import remove
from api.service.outgoing.deliveries import drop, listed, retry
from api.service.outgoing.signatures import read_secret, signed, verify
from api.service.outgoing.webhooks import Attempt, Message, Posting, check_webhook
from indexer.catalog.database import reading, transaction
from indexer.catalog.tables import Item, Study
from indexer.errors import ConfigError, LibraryLockedError, QueryError
from indexer.groups.scores import Score, kept_scores
from indexer.library import Library
from ood.alarms import Ewma, normal_score, window_figure

CHEST, ODD = 20.0, 110.0
QUICK = (0.0,) * 6


def around(
    degrees: float, count: int, patient: str, seed: int, manufacturer: str = "Acme"
) -> list[Placed]:
    random = np.random.default_rng(seed)
    return [
        Placed(
            f"{patient}-{number}",
            (*on_circle(degrees + random.normal(0, 5)), float(random.normal(0, 0.08))),
            modality="CR",
            body_part="CHEST",
            manufacturer=manufacturer,
        )
        for number in range(count)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = place(tmp_path_factory.mktemp("watch") / "library", around(CHEST, 440, "known", 6))
    with Library.open(path) as library:
        asked = ood.FitRequest("chest", alarm=0.05)
        ood.fit_reference(library, asked)
        assert one_pass(library) == []
    return path


@pytest.fixture
def library(folder: Path, tmp_path: Path) -> Iterator[Library]:
    with Library.open(Path(shutil.copytree(folder, tmp_path / "library"))) as opened:
        yield opened


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving(Receiver()) as one:
        yield one


def arrive(library: Library, *items: Placed) -> None:
    with library.writing():
        add(library, items)


def posting(receiver: Receiver, **said: Any) -> Posting:
    return Posting((receiver.url,), read_secret(SECRET), **{"waits": QUICK, **said})


def one_pass(library: Library, to: Posting | None = None, **said: Any) -> list[Event]:
    asked = WatchRequest("chest", once=True, posting=to or Posting(), **said)
    return list(watch(library, asked))


def messages(events: list[Event]) -> list[Message]:
    return [each for each in events if isinstance(each, Message)]


def scores(library: Library) -> list[Score]:
    with reading(library.engine) as db:
        return kept_scores(db, ood.show_reference(library, "chest"))


def command(library: Library, *words: object) -> Result:
    return CliRunner().invoke(app, ["ood", *map(str, words), "-L", str(library.path)])


def test_a_flagged_study_is_announced_with_what_judged_it(
    library: Library, receiver: Receiver
) -> None:
    arrive(library, *around(ODD, 1, "SECRET-PATIENT", 1), *around(CHEST, 30, "new", 2))
    events = one_pass(library, posting(receiver))
    (judged,) = [each for each in events if isinstance(each, Judged)]
    assert (judged.studies, judged.cannot_be_judged) == (31, 0)
    flags = messages(events)
    assert len(flags) == judged.flagged == len(receiver.taken) >= 1
    told = receiver.taken[0]
    assert told == json.loads(flags[0].body)
    assert (told["version"], told["event"]) == (1, "flag")
    data = told["data"]
    assert data["study_instance_uid"] == "2.25.440"
    assert data["series_instance_uids"] == ["2.25.440.1"]
    assert (data["reference"], data["encoder"]) == ("chest", "texture")
    assert data["library"] == library.config.id
    assert data["p_value"] <= data["alarm"] == 0.05
    (item,) = data["items"]
    assert (item["item"], item["modality"], item["body_part"]) == ("item-440", "CR", "CHEST")
    assert item["stratum"] == "CR · CHEST" and item["judged_as"].startswith("judged as CR · CHEST")
    assert item["reason"] == data["reason"] and "unlike the reference" in data["reason"]
    assert set(item["detectors"]) == {"knn", "mahalanobis", "residual"}
    assert item["detectors"]["knn"]["score"] > item["detectors"]["knn"]["threshold"]
    assert "SECRET" not in receiver.bodies and str(library.path) not in receiver.bodies


def test_each_item_is_judged_once_and_what_was_there_before_only_if_asked(
    library: Library, receiver: Receiver
) -> None:
    assert one_pass(library) == [] and scores(library) == []
    arrive(library, *around(ODD, 3, "odd", 1))
    assert len(messages(one_pass(library, posting(receiver)))) == 3
    assert one_pass(library, posting(receiver)) == []
    assert one_pass(library, posting(receiver), backlog=True) == [], "all else is the reference's"
    assert len(scores(library)) == len(receiver.taken) == 3


def test_a_first_watch_begins_with_what_comes_after_it(library: Library) -> None:
    ood.fit_reference(library, ood.FitRequest("new", alarm=0.05))
    arrive(library, *around(ODD, 2, "before", 1))

    def flagged(**said: bool) -> list[str]:
        found = messages(list(watch(library, WatchRequest("new", once=True, **said))))
        return [each.data["study_instance_uid"] for each in found]

    assert flagged() == []
    arrive(library, *around(ODD, 1, "after", 2))
    assert flagged() == ["2.25.442"]
    assert flagged(backlog=True) == ["2.25.440", "2.25.441"]


def test_what_cannot_be_judged_is_kept_with_the_reason_and_not_asked_again(
    library: Library, receiver: Receiver
) -> None:
    arrive(library, *around(ODD, 2, "odd", 1))
    (judged,) = one_pass(library, posting(receiver), alarm=0.001)
    assert judged == Judged(2, 2, 0, 2)
    for each in scores(library):
        assert (each.p_value, each.flagged, each.stratum) == (None, None, "")
        assert each.findings[0]["code"] == "cannot_judge"
        assert "needs 10,000" in each.findings[0]["sentence"]
    assert one_pass(library, posting(receiver)) == [] == receiver.taken


def test_a_study_that_comes_in_parts_is_judged_part_by_part(library: Library) -> None:
    arrive(library, *around(ODD, 1, "odd", 1))
    first = messages(one_pass(library))
    arrive(library, *around(ODD, 1, "odd", 2))
    with transaction(library.engine) as db:  # the second is a part of the first one's study
        study = select(Study.id).where(Study.study_instance_uid == "2.25.440")
        db.exec_driver_sql(
            "UPDATE series SET study_id = ? WHERE series_instance_uid = '2.25.441.1'",
            (db.execute(study).scalar_one(),),
        )
    second = messages(one_pass(library))
    assert [each.data["study_instance_uid"] for each in first + second] == ["2.25.440"] * 2
    assert [each.data["items"][0]["item"] for each in first + second] == ["item-440", "item-441"]
    (standing,) = arrival_windows.standings(library, "chest")
    assert standing.waiting == 1, "both parts are one study of the window"


def test_messages_are_sent_again_in_order_until_they_are_taken(
    library: Library, receiver: Receiver
) -> None:
    receiver.answers += [500, 302, 429]
    arrive(library, *around(ODD, 3, "odd", 1))
    events = one_pass(library, posting(receiver))
    attempts = [each for each in events if isinstance(each, Attempt)]
    assert [each.error for each in attempts[:3]] == [f"answered {n}" for n in (500, 302, 429)]
    assert [each.state for each in attempts] == ["waiting"] * 3 + ["delivered"] * 3
    assert [each["id"] for each in receiver.taken] == [each.id for each in messages(events)]
    assert receiver.refused == [receiver.taken[0]["id"]] * 3, "those behind it wait"
    assert "hush" not in repr(attempts)


def test_a_message_waits_as_long_as_it_is_told(library: Library, receiver: Receiver) -> None:
    receiver.answers += [500]
    arrive(library, *around(ODD, 1, "odd", 1))
    events = one_pass(library, posting(receiver, waits=(3600.0,)))
    assert [each.state for each in events if isinstance(each, Attempt)] == ["waiting"]
    assert one_pass(library, posting(receiver)) == [], "it is not due"
    (waiting,) = listed(library)
    assert (waiting.state, waiting.attempts, waiting.error) == ("waiting", 1, "answered 500")
    assert retry(library, [waiting.delivery]) == [waiting.delivery]
    one_pass(library, posting(receiver))
    assert [each["id"] for each in receiver.taken] == [waiting.message]
    assert listed(library) == [] and listed(library, "delivered")[0].message == waiting.message


def test_gone_is_dead_at_once_and_dead_letters_can_be_sent_again_or_dropped(
    library: Library, receiver: Receiver
) -> None:
    receiver.answers += [410] + [500] * 3
    arrive(library, *around(ODD, 2, "odd", 1))
    one_pass(library, posting(receiver, waits=(0.0, 0.0)))
    dead = listed(library, "dead")
    assert [(each.attempts, each.error) for each in dead] == [
        (1, "answered 410"),
        (3, "answered 500"),
    ]
    assert command(library, "deliveries", "list").stdout.count("dead") == 2
    assert "2 messages wait" in command(library, "deliveries", "retry").stdout
    gone = command(library, "deliveries", "drop", dead[0].delivery, "--json")
    assert json.loads(gone.stdout) == {"dropped": [dead[0].delivery]}
    one_pass(library, posting(receiver))
    assert [each["id"] for each in receiver.taken] == [dead[1].message]
    with pytest.raises(QueryError, match="no message 99 waits or is dead"):
        drop(library, [99])
    with pytest.raises(QueryError, match="waiting, delivered, dead, not 'lost'"):
        listed(library, "lost")


def test_a_receiver_that_hangs_or_is_down_keeps_neither_scores_nor_messages(
    library: Library, receiver: Receiver
) -> None:
    receiver.answers += [None]
    arrive(library, *around(ODD, 1, "odd", 1))
    hung = one_pass(library, posting(receiver, timeout=0.2, waits=(3600.0,)))
    assert [e.error for e in hung if isinstance(e, Attempt)] == ["no answer within 0.2 s"]
    away = Receiver(port=free_port())
    arrive(library, *around(ODD, 1, "odd", 2))
    down = one_pass(library, posting(away, waits=(0.0, 3600.0)))
    assert [e.error for e in down if isinstance(e, Attempt)] == [
        "not reached: Connection refused"
    ] * 2
    assert len(scores(library)) == 2
    retry(library, [each.delivery for each in listed(library)])
    with receiving(away):
        one_pass(library, posting(away))
    assert [each["data"]["study_instance_uid"] for each in away.taken] == ["2.25.441"]
    assert len(listed(library)) == 1, "what is for another webhook waits for it"


def test_after_kill_9_between_commit_and_delivery_a_flag_is_announced_once(
    library: Library, receiver: Receiver
) -> None:
    receiver.answers += [None]
    arrive(library, *around(ODD, 1, "odd", 1))
    words = ["ood", "watch", "--reference", "chest", "--webhook", receiver.url, "--every", "0.1"]
    told = [sys.executable, "-m", "api.cli.main", *words, "-L", str(library.path)]
    environment = {**os.environ, "SYNTOPY_WEBHOOK_SECRET": SECRET}
    with subprocess.Popen(told, env=environment, stdout=subprocess.PIPE) as process:
        assert receiver.asked.wait(50), "it has committed, and its message is on the way"
        with pytest.raises(LibraryLockedError, match=f"watched by process {process.pid}"):
            one_pass(library)
        arrive(library, *around(CHEST, 1, "new", 3))  # a writer is not kept out
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert receiver.taken == [] and len(scores(library)) == 1
    (waiting,) = listed(library)
    one_pass(library, posting(receiver))
    one_pass(library, posting(receiver))
    flags = [each for each in receiver.taken if each["data"]["study_instance_uid"] == "2.25.440"]
    assert [each["id"] for each in flags] == [waiting.message]
    assert len(scores(library)) == 2


def test_a_watch_goes_on_until_it_is_stopped_and_sends_between_passes(
    library: Library, receiver: Receiver
) -> None:
    receiver.answers += [500]
    stop, found = threading.Event(), list[Event]()
    asked = WatchRequest("chest", every=0.05, posting=posting(receiver, waits=(0.01,)))

    def run() -> None:
        found.extend(watch(library, asked, stop=stop))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        arrive(library, *around(ODD, 2, "odd", 1))
        until = time.monotonic() + 40
        while len(receiver.taken) < 2 and time.monotonic() < until:
            time.sleep(0.02)
    finally:
        stop.set()
        thread.join()
    assert [each["id"] for each in receiver.taken] == [each.id for each in messages(found)]


def test_ctrl_c_ends_the_command_with_130(library: Library, receiver: Receiver) -> None:
    arrive(library, *around(ODD, 1, "odd", 1))
    file = library.path.parent / "secret"
    file.write_text(SECRET + "\n")
    words = ["watch", "--reference", "chest", "--json", "--webhook", receiver.url]
    told = [sys.executable, "-m", "api.cli.main", "ood", *words, "--secret-file", str(file)]
    told += ["-L", str(library.path)]
    with subprocess.Popen(told, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        line = json.loads(process.stdout.readline())
        receiver.asked.wait(20)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert (line["event"], process.returncode) == ("flag", 130)
    assert b"what was judged is stored" in said and SECRET.encode() not in said


def test_drift_is_told_once_for_its_group_until_it_is_reset(
    library: Library, receiver: Receiver
) -> None:
    def more(seed: int) -> list[dict[str, Any]]:
        arrive(library, *around(CHEST + 20, 10, f"new{seed}", seed, "Widgets"))
        arrive(library, *around(CHEST, 10, f"old{seed}", 50 + seed))
        one_pass(library, posting(receiver, at_once=100), window=10, by="manufacturer")
        return [each["data"] for each in receiver.taken if each["event"] == "drift"]

    (drift,) = more(0)
    assert (drift["group"], drift["studies"]) == ("manufacturer=WIDGETS", 10)
    assert abs(drift["moving_average"]) > drift["limit"]
    assert drift["reasons"][0].startswith("a sustained change")
    assert len(more(1)) == 1, "it is known"
    group = "manufacturer=WIDGETS"
    told = command(library, "monitors", "list", "--reference", "chest", "--json")
    states = {each["group"]: each for each in json.loads(told.stdout)["monitors"]}
    assert not states["manufacturer=ACME"]["alarm"] and states[group]["alarm"]
    assert states[group]["windows"] == 2
    done = command(library, "monitors", "reset", "--reference", "chest", "--group", group)
    assert done.exit_code == 0, done.output
    assert len(more(2)) == 2
    with pytest.raises(QueryError, match="no group 'all' is watched"):
        arrival_windows.reset(library, "chest", "all")


@given(patients=st.integers(20, 2_000), above=st.floats(0, 1))
def test_normal_scores_are_finite_rise_with_oddness_and_are_even_around_the_middle(
    patients: int, above: float
) -> None:
    count = round(above * patients)
    p_value, other = (1 + count) / (patients + 1), (1 + patients - count) / (patients + 1)
    assert normal_score(p_value, patients) == pytest.approx(
        -normal_score(other, patients), abs=1e-6
    )
    assert normal_score(1 / (patients + 1), patients) >= normal_score(p_value, patients)


@settings(max_examples=5)
@given(seed=st.integers(0, 10_000), patients=st.sampled_from([50, 200, 1_000]))
def test_small_calibrations_raise_no_more_false_alarms_of_drift_than_stated(
    seed: int, patients: int
) -> None:
    random, fresh, alarms = np.random.default_rng(seed), Ewma.for_run_length(), 0
    for _ in range(100):
        held_out, average = np.sort(random.normal(size=patients)), fresh
        for window in random.normal(size=(20, 50)):
            above = patients - np.searchsorted(held_out, window)
            scores = np.array([_TABLES[patients][each] for each in above])
            figure = window_figure(scores, np.full(50, patients), fresh.weight)
            average, alarm = average.update(figure)
            if alarm:
                alarms += 1
                break
    assert alarms <= 15, "1 in 370 windows: 5.3 of 100 runs of 20 are expected at most"


_TABLES = {
    patients: [
        normal_score((1 + above) / (patients + 1), patients) for above in range(patients + 1)
    ]
    for patients in (50, 200, 1_000)
}


def test_an_item_that_goes_while_it_is_judged_is_not_announced(
    library: Library, receiver: Receiver
) -> None:
    arrive(library, *around(ODD, 2, "odd", 1))

    def gone_meanwhile(what: str, _done: int, _total: int) -> None:
        if what == "judging":
            with transaction(library.engine) as db:
                db.execute(delete(Item).where(Item.uid == "item-440"))

    asked = WatchRequest("chest", once=True, posting=posting(receiver))
    list(watch(library, asked, gone_meanwhile))
    assert [each["data"]["study_instance_uid"] for each in receiver.taken] == ["2.25.441"]
    assert len(scores(library)) == 1


def test_a_reference_that_is_removed_meanwhile_ends_the_watch(library: Library) -> None:
    arrive(library, *around(ODD, 1, "odd", 1))

    def removed(what: str, _done: int, _total: int) -> None:
        if what == "judging":
            ood.remove(library, "chest")

    with pytest.raises(QueryError, match="'chest' was removed"):
        list(watch(library, WatchRequest("chest", once=True), removed))


def test_removing_a_study_takes_its_messages_along(library: Library) -> None:
    arrive(library, *around(ODD, 2, "odd", 1))
    one_pass(library, Posting(("https://127.0.0.1:1/",), read_secret(SECRET)))
    assert len(listed(library)) == 2
    remove(library, "study", "2.25.440", actor="tests")
    assert len(listed(library)) == 1


def test_signatures_are_those_of_the_specification() -> None:
    headers = signed(
        read_secret(SECRET), "msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}', 1614265330
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(
    body=st.binary(max_size=100), change=st.sampled_from(["body", "id", "time", "signature", "old"])
)
def test_only_what_was_signed_now_and_is_unchanged_is_verified(body: bytes, change: str) -> None:
    key, at = read_secret(SECRET), int(time.time())
    headers = signed(key, "msg_1", body, at)
    assert verify(SECRET, headers, body)
    upper = {name.upper(): value for name, value in headers.items()}
    upper["WEBHOOK-SIGNATURE"] = f"v1a,xyz v1,äö {headers['webhook-signature']}"
    assert verify(SECRET, upper, body), "one of several signatures is enough"
    wrong = {
        "id": {**headers, "webhook-id": "msg_2"},
        "time": {**headers, "webhook-timestamp": "soon"},
        "signature": {**headers, "webhook-signature": "v1,"},
        "old": signed(key, "msg_1", body, at - 400),
    }
    assert not verify(SECRET, wrong.get(change, headers), body + b" " * (change == "body"))


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://example.org/hook", "not https"),
        ("ftp://example.org/hook", "a URL as https"),
        ("https://", "a URL as https"),
        ("https://me:hush-hush@example.org/", "no name and password"),
        ("https://example.org:port/", "not a URL"),
        ("https://example.org/a b", "a URL as https"),
    ],
)
def test_webhooks_that_messages_may_not_go_to_are_refused(url: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as refused:
        check_webhook(url)
    assert "hush" not in str(refused.value)


def test_what_cannot_be_watched_is_refused(
    library: Library, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    check_webhook("http://10.0.0.1/", insecure=True)
    for wrong, why in (
        ({"by": "patient"}, "grouped by manufacturer"),
        ({"window": 1}, "two studies or more"),
        ({"every": 0.0}, "above 0 seconds"),
        ({"posting": Posting(("https://example.org/",))}, "need a secret"),
    ):
        with pytest.raises(ConfigError, match=why):
            list(watch(library, WatchRequest("chest", **wrong)))
    words = ("watch", "--reference", "chest", "--once", "--webhook", "https://example.org/")
    absent = command(library, *words)
    assert (absent.exit_code, "webhooks need a secret" in absent.stderr) == (2, True)
    for secret in ("hush-hush", "whsec_hush", "whsec_aHVzaA=="):
        monkeypatch.setenv("SYNTOPY_WEBHOOK_SECRET", secret)
        wrong_one = command(library, *words)
        assert wrong_one.exit_code == 2 and "is not right" in wrong_one.stderr
        assert secret not in wrong_one.output
    with pytest.raises(ConfigError, match="cannot be read"):
        read_secret("", tmp_path / "none")
    assert command(library, "watch", "--reference", "hand", "--once").exit_code == 2


def test_everything_works_without_webhooks_from_the_keyboard(library: Library) -> None:
    arrive(library, *around(ODD, 2, "odd", 1))
    done = command(library, "watch", "--reference", "chest", "--once")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert (
        lines[0].startswith("flagged  p 0.0")
        and "2.25.440  CR · CHEST, items judged: 1" in lines[0]
    )
    assert lines[2] == "2 studies judged: 2 flagged, 0 cannot be judged"
    arrive(library, *around(ODD, 1, "odd", 2))
    (line,) = command(
        library, "watch", "--reference", "chest", "--once", "--json"
    ).stdout.splitlines()
    assert json.loads(line)["data"]["study_instance_uid"] == "2.25.442"
    assert "no messages" in command(library, "deliveries", "list").stdout
    assert "all" in command(library, "monitors", "list", "--reference", "chest").stdout
