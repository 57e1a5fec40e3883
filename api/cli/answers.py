"""A search's answer on a terminal: what was asked, hits, priors, votes, and what must be said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from api.cli.output import out, print_remarks

if TYPE_CHECKING:
    from indexer.searching.answers import SearchAnswer
    from indexer.searching.asking import Described
    from indexer.types import Hit, LabelVote

_MOST_VOTES = 6
_LONGEST = 60


def print_answer(answer: SearchAnswer) -> None:
    """The ranked table, and all that must be said about it."""
    for example in answer.queries:
        out.print(_asked(example))
    if answer.mix:
        out.print(answer.mix, style="dim")
    if answer.hits:
        out.print(_hits(answer), soft_wrap=False)
    if answer.priors:
        out.print("other studies of the query's patient, by date", style="bold")
        out.print(_priors(answer.priors), soft_wrap=False)
    _print_votes(answer.votes)
    how = "exact" if answer.exact else "approximate"
    encoder = f"encoder {answer.encoder}" if answer.spaces else "keywords"
    out.print(
        f"{answer.candidates} candidates, {how}, {encoder}, {answer.seconds * 1000:.0f} ms",
        style="dim",
    )
    print_remarks(answer.notes, answer.notice)


def _asked(example: Described) -> str:
    """One thing that was asked with, in a line."""
    said = [
        example.modality,
        example.body_part,
        _short(example.description),
        words_of(example.labels),
    ]
    word = "query" if example.weight > 0 else "unlike"
    weight = f" (weight {example.weight:g})" if abs(example.weight) != 1 else ""
    where = f", region {','.join(f'{v:g}' for v in example.region.box)}" if example.region else ""
    return f"{word}: {' · '.join(part for part in said if part) or 'an image'}{where}{weight}"


def _hits(answer: SearchAnswer) -> Table:
    copies = Counter(copy.of for copy in answer.linked)
    nearness = any(hit.evidence and hit.evidence.percentile is not None for hit in answer.hits)
    columns = ["#", "score", "image", "who", "labels", "id", "more"]
    if nearness:
        columns.insert(2, "closer than")
    if answer.fused:
        columns.append("found by")
    elif not answer.spaces:
        columns.append("words")
    table = _table(columns)
    for number, hit in enumerate(answer.hits, 1):
        more = [f"+{hit.more}" if hit.more else "", f"={copies[hit.id]}" if copies[hit.id] else ""]
        cells: list[str | Text] = [
            str(number),
            f"{hit.score:.3f}",
            *_about(hit),
            _id(hit),
            " ".join(filter(None, more)),
        ]
        if nearness:
            cells.insert(2, _closer(hit))
        if answer.fused:
            cells.append(_voices(hit))
        elif not answer.spaces:
            cells.append(_short(hit.snippet))
        table.add_row(*cells)
    return table


def _priors(priors: Sequence[Hit]) -> Table:
    table = _table(["date", "score", "image", "who", "labels", "id"])
    for hit in priors:
        table.add_row(hit.study_date or "no date", f"{hit.score:.3f}", *_about(hit), _id(hit))
    return table


def _table(columns: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in columns:
        right = name in ("#", "score", "closer than", "more")
        # The id is copied into the next command, so it is never broken over lines.
        table.add_column(name, justify="right" if right else "left", no_wrap=name == "id")
    return table


def _about(hit: Hit) -> tuple[str, str, str]:
    """Image, who, labels."""
    age = f"{hit.age_years:.0f}" if hit.age_years is not None else ""
    image = " ".join(p for p in (hit.modality, hit.body_part, hit.view, _slice(hit)) if p)
    return image, f"{hit.sex} {age}".strip(), words_of(hit.labels) or hit.description


def _id(hit: Hit) -> Text:
    """Its id; in a terminal that can it leads to the viewer."""
    return Text(hit.id, style=f"link {hit.viewer_url}" if hit.viewer_url else "")


def _closer(hit: Hit) -> str:
    """Than how many random pairs."""
    known = hit.evidence is not None and hit.evidence.percentile is not None
    return f"{hit.evidence.percentile:.1f} %" if hit.evidence and known else ""


def _voices(hit: Hit) -> str:
    """Which voices found it, at which place of their lists."""
    return ", ".join(f"{voice.voice} #{voice.rank}" for voice in hit.voices)


def _slice(hit: Hit) -> str:
    """Which slice of a volume fits best."""
    return f"slice {hit.match.number}/{hit.match.of}" if hit.match else ""


def _print_votes(votes: Sequence[LabelVote]) -> None:
    """What the hits say of labels, most likely first."""
    if not votes:
        return
    said = []
    for vote in votes[:_MOST_VOTES]:
        if vote.probability is not None:
            likely = f"{vote.probability:.0%}"
        else:
            likely = f"{vote.share:.0%} of votes"
        said.append(f"{vote.name} {vote.value} {likely} ({vote.voters} voted)")
    more = f", and {len(votes) - _MOST_VOTES} more" if len(votes) > _MOST_VOTES else ""
    out.print(f"hits vote: {', '.join(said)}{more}")


def words_of(labels: Mapping[str, Sequence[str]]) -> str:
    """The values of all labels, each once."""
    return ", ".join(dict.fromkeys(value for values in labels.values() for value in values))


def _short(words: str) -> str:
    words = " ".join(words.split())
    return words if len(words) <= _LONGEST else f"{words[: _LONGEST - 1]}…"
