"""Who may: roles, API keys, how often somebody may ask."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from api.cli.main import app
from api.rate import TokenBuckets
from api.rights import EVERY_LIBRARY, Principal, Role, permitted
from api.service.access import audit, keys
from indexer.catalog.audit import rows_since
from indexer.catalog.database import reading
from indexer.errors import (
    AccessDeniedError,
    ConfigError,
    ItemNotFoundError,
    NotAuthenticatedError,
)
from indexer.library import Library

# -- rights ---------------------------------------------------------------------------------------

SOMEBODY = Principal("somebody", Role.CURATOR, frozenset({"chest"}), "key:0")


@given(st.sampled_from(Role), st.sampled_from(Role), st.booleans())
def test_a_role_may_what_lower_ones_may_in_its_libraries_alone(
    has: Role, takes: Role, here: bool
) -> None:
    order = ["monitor", "reader", "curator", "operator", "admin"]
    who = replace(SOMEBODY, role=has)
    if here and order.index(has) >= order.index(takes):
        permitted(who, takes, "chest")
    else:
        with pytest.raises(AccessDeniedError):
            permitted(who, takes, "chest" if here else "head")


def test_what_is_not_granted_is_denied() -> None:
    with pytest.raises(NotAuthenticatedError, match="API key or a bearer token"):
        permitted(None, Role.READER, "chest")
    with pytest.raises(AccessDeniedError, match="no rights in this library"):
        permitted(replace(SOMEBODY, role=Role.ADMIN, libraries=frozenset()), Role.READER, "chest")
    with pytest.raises(AccessDeniedError, match="takes the role operator; somebody is curator"):
        permitted(SOMEBODY, Role.OPERATOR, "chest")


def test_rights_may_be_for_every_library() -> None:
    permitted(replace(SOMEBODY, libraries=frozenset({EVERY_LIBRARY})), Role.CURATOR, "any")


# -- keys -----------------------------------------------------------------------------------------


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    with Library.create(tmp_path / "library") as made:
        yield made


def make(library: Library, **said: Any) -> keys.NewKey:
    return keys.create(library, keys.KeyRequest(**{"name": "viewer", **said}), actor="tester")


def change(library: Library, sql: str) -> None:
    """As somebody who can write to the catalog, and to it alone."""
    with sqlite3.connect(library.path / "catalog.sqlite") as db:
        db.execute(sql)


def test_a_key_says_who_asks_and_what_they_may(library: Library) -> None:
    made = make(library, role=Role.OPERATOR, libraries=["chest", "head"])
    who = keys.authenticate(library, made.token)
    libraries = frozenset({"chest", "head"})
    assert who == Principal("viewer", Role.OPERATOR, libraries, f"key:{made.key.prefix}")
    own = keys.authenticate(library, make(library).token)
    permitted(own, Role.READER, library.config.id)


def test_a_key_is_told_once_and_never_stored(library: Library) -> None:
    made = make(library)
    scheme, prefix, secret = made.token.split("_", 2)
    assert (scheme, prefix) == ("syn", made.key.prefix)
    assert len(base64.urlsafe_b64decode(secret + "=")) == 32
    assert made.token not in repr(made)
    keys.authenticate(library, made.token)
    library.close()
    for file in library.path.rglob("*"):
        assert not file.is_file() or secret.encode() not in file.read_bytes()


def test_keys_differ(library: Library) -> None:
    made = {make(library).token for _ in range(20)}
    assert len(made) == len({token[:16] for token in made}) == 20


def test_a_wrong_key_is_answered_as_one_that_nobody_made(library: Library) -> None:
    token = make(library).token
    other = make(library).token
    wrong = [token[:-2] + "AA", token[:17] + other[17:], other[:17] + token[17:]]
    unknown = "syn_" + "0" * 12 + token[16:]
    odd = ["", "syn_", token[:-1], token + "A", token.upper(), f" {token}", token + "\n", "ü" * 60]
    said = set()
    for each in [*wrong, unknown, *odd]:
        with pytest.raises(NotAuthenticatedError) as refused:
            keys.authenticate(library, each)
        said.add(str(refused.value))
    assert len(said) == 1


def test_a_key_of_another_library_is_not_accepted(library: Library, tmp_path: Path) -> None:
    token = make(library).token
    with (
        Library.create(tmp_path / "other") as other,
        pytest.raises(NotAuthenticatedError, match="not accepted"),
    ):
        keys.authenticate(other, token)


@pytest.mark.parametrize(
    "changed",
    [
        "UPDATE api_key SET role = 'admin'",
        "UPDATE api_key SET libraries = '[\"*\"]'",
        "UPDATE api_key SET expires_at = '2999-01-01 00:00:00.000000'",
        "UPDATE api_key SET prefix = '000000000000'",
        "UPDATE api_key SET digest = 'é'",
    ],
)
def test_rights_that_were_changed_in_the_catalog_make_the_key_worthless(
    library: Library, changed: str
) -> None:
    token = make(library).token
    if "prefix" in changed:
        token = f"syn_000000000000{token[16:]}"
    change(library, changed)
    with pytest.raises(NotAuthenticatedError, match="not accepted"):
        keys.authenticate(library, token)


def test_a_key_expires(library: Library) -> None:
    made = make(library, days=7)
    end = datetime.fromisoformat(made.key.expires_at)
    assert keys.authenticate(library, made.token, at=end - timedelta(seconds=1))
    with pytest.raises(NotAuthenticatedError, match=f"{made.key.prefix} is expired"):
        keys.authenticate(library, made.token, at=end)


def test_a_revoked_key_is_not_accepted_from_then_on(library: Library) -> None:
    made, other = make(library), make(library)
    gone = keys.revoke(library, made.key.prefix, actor="tester")
    assert gone.state == "revoked" and gone.revoked_at
    with pytest.raises(NotAuthenticatedError, match="is revoked"):
        keys.authenticate(library, made.token)
    assert keys.authenticate(library, other.token)
    for prefix in (made.key.prefix, "0" * 12, "%", ""):
        with pytest.raises(ItemNotFoundError, match="no key"):
            keys.revoke(library, prefix, actor="tester")


def test_a_revoked_key_does_not_come_back_by_a_change_of_its_row(library: Library) -> None:
    made = make(library)
    keys.revoke(library, made.key.prefix, actor="tester")
    change(library, "UPDATE api_key SET revoked_at = NULL")
    with pytest.raises(NotAuthenticatedError, match="not accepted"):
        keys.authenticate(library, made.token)


def test_when_a_key_was_last_used_is_known_to_the_day(library: Library) -> None:
    token = make(library).token
    days = []
    for day in (1, 1, 2):
        keys.authenticate(library, token, at=datetime(2026, 5, day, 12, day, tzinfo=UTC))
        days += [key.last_used_on for key in keys.listed(library)]
    assert days == ["2026-05-01", "2026-05-01", "2026-05-02"]


def test_what_is_listed_tells_states_and_no_secrets(library: Library) -> None:
    active, gone = make(library, name="a"), make(library, name="b")
    keys.revoke(library, gone.key.prefix, actor="tester")
    assert [key.name for key in keys.listed(library)] == ["a"]
    everything = keys.listed(library, everything=True)
    assert [(key.name, key.state) for key in everything] == [("a", "active"), ("b", "revoked")]
    assert active.token[17:] not in repr(everything)


def test_making_and_revoking_keys_is_audited(library: Library) -> None:
    made = make(library, role=Role.ADMIN)
    keys.revoke(library, made.key.prefix, actor="other")
    with reading(library.engine) as db:
        rows = list(rows_since(db))
    assert [(row.actor, row.action, row.subject["what"]) for row in rows] == [
        ("tester", "keys", "create"),
        ("other", "keys", "revoke"),
    ]
    assert all(row.subject["prefix"] == made.key.prefix for row in rows)
    assert rows[0].subject["role"] == "admin"
    assert not audit.verify(library).findings


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"name": "  "}, "1 to 128 printable"),
        ({"name": "x" * 129}, "1 to 128 printable"),
        ({"name": "two\nlines"}, "1 to 128 printable"),
        ({"days": 0}, "1 to 3650 days, not 0"),
        ({"days": 4_000}, "1 to 3650 days"),
        ({"libraries": ["../chest"]}, "no id of a library"),
        ({"libraries": [""]}, "no id of a library"),
    ],
)
def test_a_key_that_cannot_be_made_is_refused(
    library: Library, said: dict[str, Any], why: str
) -> None:
    with pytest.raises(ConfigError, match=why):
        make(library, **said)
    assert keys.listed(library, everything=True) == []


def run(library: Library, *words: str) -> Any:
    return CliRunner().invoke(app, [*words, "-L", str(library.path)])


def test_keys_are_made_listed_and_revoked_by_commands(library: Library) -> None:
    made = run(library, "keys", "create", "viewer", "--role", "curator", "--days", "30")
    token = made.stdout.strip()
    assert keys.authenticate(library, token).role is Role.CURATOR
    assert "not shown again" in made.stderr
    prefix = token[4:16]
    assert f"{prefix} " in run(library, "keys", "list").stdout
    gone = json.loads(run(library, "keys", "revoke", prefix, "--json").stdout)
    assert gone["key"]["state"] == "revoked"
    assert run(library, "keys", "list").stdout == "no keys\n"
    every = json.loads(run(library, "keys", "list", "--all", "--json").stdout)["keys"]
    assert [each["prefix"] for each in every] == [prefix]


def test_a_key_in_json_is_one_object_for_scripts(library: Library) -> None:
    words = ["keys", "create", "ci", "--for", "chest", "--for", "*", "--json"]
    told = json.loads(run(library, *words).stdout)
    assert keys.authenticate(library, told["token"]).libraries == {"chest", EVERY_LIBRARY}
    assert told["key"]["name"] == "ci"


def test_commands_say_what_is_wrong_with_a_key(library: Library) -> None:
    told = run(library, "keys", "create", "x", "--role", "king", "--json")
    assert (told.exit_code, json.loads(told.stdout)["error"]["code"]) == (2, "config")
    assert "reader, curator, operator, admin" in told.stdout
    missing = run(library, "keys", "revoke", "abc")
    assert missing.exit_code == 2 and "keys list" in missing.stderr


# -- how often ------------------------------------------------------------------------------------


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@settings(max_examples=200)
@given(
    rate=st.floats(0.1, 50),
    burst=st.integers(1, 20),
    gaps=st.lists(st.floats(0, 3), min_size=1, max_size=60),
)
def test_nobody_gets_more_than_a_burst_and_the_rate(
    rate: float, burst: int, gaps: list[float]
) -> None:
    clock = Clock()
    buckets = TokenBuckets(rate, burst, clock=clock)
    taken: list[float] = []
    for gap in gaps:
        clock.seconds += gap
        if buckets.take("somebody") == 0:
            taken.append(clock.seconds)
    for first, start in enumerate(taken):
        for last in range(first, len(taken)):
            allowed = burst + rate * (taken[last] - start)
            assert last - first + 1 <= allowed + 1e-6


@given(rate=st.floats(0.1, 50), burst=st.integers(1, 20), extra=st.integers(1, 40))
def test_after_the_wait_that_was_told_there_is_a_token(rate: float, burst: int, extra: int) -> None:
    clock = Clock()
    buckets = TokenBuckets(rate, burst, clock=clock)
    assert [buckets.take("somebody") for _ in range(burst)] == [0] * burst
    for _ in range(extra):
        wait = buckets.take("somebody")
        assert 0 < wait <= 1 / rate + 1e-9
        clock.seconds += wait * (1 + 1e-9) + 1e-9
        assert buckets.take("somebody") == 0


def test_everybody_has_a_bucket_of_their_own() -> None:
    buckets = TokenBuckets(1, 2, clock=Clock())
    assert [buckets.take(who) for who in ("a", "a", "b", "a", "b", "b")] == [0, 0, 0, 1, 0, 1]


def test_memory_is_bounded_and_the_bucket_longest_unused_goes() -> None:
    buckets = TokenBuckets(0.001, 1, clock=Clock(), capacity=3)
    for who in "abc":
        assert buckets.take(who) == 0
    assert buckets.take("a") > 0
    assert buckets.take("d") == 0
    assert len(buckets) == 3
    assert [buckets.take(who) > 0 for who in "acd"] == [True] * 3
    assert buckets.take("b") == 0


def test_a_clock_that_stands_still_or_goes_back_gives_nothing() -> None:
    clock = Clock()
    buckets = TokenBuckets(1, 1, clock=clock)
    assert buckets.take("a") == 0
    for clock.seconds in (0, -100, 0):
        assert buckets.take("a") == 1


@pytest.mark.parametrize("limit", [(0, 1), (1, 0), (-1, 1), (float("nan"), 1)])
def test_a_limit_that_is_none_is_refused(limit: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="above 0"):
        TokenBuckets(*limit, clock=Clock())
    with pytest.raises(ValueError, match="holds 2 tokens, not 3"):
        TokenBuckets(1, 2, clock=Clock()).take("a", 3)
