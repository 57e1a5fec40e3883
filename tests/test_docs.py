"""The documents say what the code does."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from typer.main import get_command

from api.cli.main import app
from api.service.access.audit_message import audit_message
from indexer.catalog.audit import Action, AuditRow, Ending
from indexer.types import Flag, Outcome, Reason

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("kind", [Outcome, Reason, Flag])
def test_every_outcome_reason_and_flag_is_explained(kind: type[Outcome]) -> None:
    text = (ROOT / "docs" / "reasons.md").read_text()
    explained = set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
    assert {member.value for member in kind} <= explained
    everything = {m.value for each in (Outcome, Reason, Flag) for m in each}
    assert explained <= everything, "something explained does not exist"


def test_every_action_of_the_audit_is_explained_with_its_event() -> None:
    text = (ROOT / "docs" / "security.md").read_text()
    table = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| (.+ \(\d{6}\).*) \|$", text, re.MULTILINE)
    told = [(name.strip("` "), events) for names, events in table for name in names.split(",")]
    assert sorted(name for name, _ in told) == sorted(Action)
    row = AuditRow(1, datetime.now(UTC), "a", Action.VIEW, {}, (), Ending.SUCCESS, "", "", "", "")
    for name, events in told:
        message = audit_message(replace(row, action=Action(name)), "library")
        coded = re.findall(r'<Event\w+ csd-code="(\d+)"[^>]+originalText="([^"]+)"', message)
        assert coded
        assert all(f"{meaning} ({code})" in events for code, meaning in coded), name


def test_links_between_the_documents_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md"],
                         ids=lambda page: page.name)  # fmt: skip
def test_a_document_is_whole(page: Path) -> None:
    lines = page.read_text().splitlines()
    assert sum(line.startswith("```") for line in lines) % 2 == 0, "an example that never ends"
    for before, line in pairwise(lines):
        assert not line.startswith("## ") or not before, f"{line} stands on the heels of another"


def test_no_status_is_explained_twice() -> None:
    text = (ROOT / "docs" / "api.md").read_text()
    told = re.findall(r"^\| ((?:\d{3}(?:, )?)+) \|", text, re.MULTILINE)
    statuses = [status for row in told for status in row.split(", ")]
    assert len(statuses) == len(set(statuses)) > 10


def test_commands_in_the_readme_exist_with_their_options() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    text = (ROOT / "README.md").read_text()
    lines = re.findall(r"^syntopy (\w+)(.*)$", text, re.MULTILINE)
    assert len(lines) >= 8
    for name, rest in lines:
        command = commands[name]
        if hasattr(command, "commands"):
            command = command.commands[rest.split()[0]]
        known = {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
        used = set(re.findall(r"(?<=\s)--[\w-]+", rest.partition("#")[0]))
        assert used <= known, f"{name}: {used - known}"
