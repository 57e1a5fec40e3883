"""The filter language for Qdrant: what a point's payload holds, and the tree as a filter over it.

Text is kept in lower case, since Qdrant compares it to the letter; what is unknown is left out, so
that it fails every comparison. Numbers that are whole and dates (as ``YYYYMMDD``) are integers.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

from indexer.filter_tree import WORD, All, AnyOf, Comparison, Filter, Not
from indexer.stores.qdrant_server import models

IndexSchema = models.PayloadSchemaType | models.KeywordIndexParams
LABELS = "labels"
"""Payload field with a list of ``{"name": …, "value": …}``: a study's labels, and an item's own."""
TEXTS = (
    "modality",
    "body_part",
    "view",
    "laterality",
    "manufacturer",
    "model",
    "series_description",
    "study_description",
    "sex",
    "split",
    "kind",
    "role",
    "patient",
)
IDENTIFIERS = ("study", "series", "uid", "pixel_hash")
"""Text as well, of which hardly two are alike: their indexes may lie on disk."""
NUMBERS = ("age",)
WHOLE = ("slices", "study_date")
_DEEPEST = 20
"""Levels of a filter: JSON and protocol buffers do not bear many more in the server."""
_LARGEST = float(2**53)


def payload_indexes() -> dict[str, IndexSchema]:
    """By payload field the index it needs, which has to be there before the first point."""
    keyword, on_disk = (
        models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, on_disk=disk)
        for disk in (False, True)
    )
    return {
        **dict.fromkeys((*TEXTS, f"{LABELS}[].name", f"{LABELS}[].value"), keyword),
        **dict.fromkeys(IDENTIFIERS, on_disk),
        **dict.fromkeys(NUMBERS, models.PayloadSchemaType.FLOAT),
        **dict.fromkeys(WHOLE, models.PayloadSchemaType.INTEGER),
    }


def server_can(tree: Filter) -> bool:
    """Whether Qdrant can evaluate this tree.

    It knows no order of texts (``body_part<D``), no end of nesting it would bear, and no words of
    reports, which do not leave the catalog; such filters are answered by the catalog, whose ids are
    handed to the server.
    """
    return _depth(tree) <= _DEEPEST and all(map(_payload_tells, leaves(tree)))


def _payload_tells(leaf: Comparison) -> bool:
    return leaf.field != WORD and (leaf.field in (*NUMBERS, *WHOLE) or leaf.op in ("=", "!="))


def leaves(tree: Filter) -> list[Comparison]:
    """All comparisons of a tree."""
    match tree:
        case Comparison():
            return [tree]
        case Not(part):
            return leaves(part)
        case All(parts) | AnyOf(parts):
            return [leaf for part in parts for leaf in leaves(part)]


def qdrant_filter(tree: Filter) -> models.Filter:
    """The tree as a filter over payloads: it passes the very items that the SQL condition passes.

    Raises:
        ValueError: it is beyond the server, see `server_can`.
    """
    if not server_can(tree):
        raise ValueError("Qdrant cannot evaluate this filter; ask server_can first")
    return models.Filter(must=[_condition(tree)])


def _depth(tree: Filter) -> int:
    match tree:
        case Comparison():
            return 1
        case Not(part):
            return 1 + _depth(part)
        case All(parts) | AnyOf(parts):
            return 1 + max(map(_depth, parts), default=0)


def _condition(tree: Filter) -> models.Condition:
    match tree:
        case Comparison():
            return _comparison(tree)
        case Not(part):
            return models.Filter(must_not=[_condition(part)])
        case All(parts):
            return models.Filter(must=[_condition(part) for part in parts])
        case AnyOf(parts):
            return _any_of([_condition(part) for part in parts])


def _comparison(tree: Comparison) -> models.Condition:
    # Several values are those of ``in``, of which one has to be equal.
    op = tree.op if len(tree.values) == 1 else "="
    if tree.field.startswith("label:"):
        name = tree.field.removeprefix("label:")
        return _label(name, tree.op, [str(v).lower() for v in tree.values])
    if tree.field in NUMBERS:
        return _any_of([_number(tree.field, op, float(v)) for v in tree.values])
    if tree.field == "study_date":
        return _any_of([_whole(tree.field, op, date_number(str(v))) for v in tree.values])
    if tree.field in WHOLE:
        return _any_of([_whole(tree.field, op, float(v)) for v in tree.values])
    return _text(tree.field, op, [str(v).lower() for v in tree.values])


def date_number(iso: str) -> int:
    """``2024-01-31`` as 20240131."""
    return int(iso.replace("-", ""))


def _label(name: str, op: str, values: list[str]) -> models.Condition:
    """There is a label of this name, one and the same, whose value is (not) among these."""
    named = models.FieldCondition(key="name", match=models.MatchValue(value=name))
    said = models.FieldCondition(key="value", match=models.MatchAny(any=values))
    both = (
        models.Filter(must=[named, said])
        if op == "="
        else models.Filter(must=[named], must_not=[said])
    )
    return models.NestedCondition(nested=models.Nested(key=LABELS, filter=both))


def _text(field: str, op: str, values: list[str]) -> models.Condition:
    match: models.Match = (
        models.MatchAny(any=values) if op == "=" else models.MatchExcept(**{"except": values})
    )
    return models.FieldCondition(key=field, match=match)


def _number(field: str, op: str, value: float) -> models.Condition:
    """A comparison with a number; JSON has none that is infinite."""
    if math.isinf(value):
        return _all_known(field) if _infinite_holds(op, value) else _never()
    if op == "!=":
        return _any_of([_number(field, "<", value), _number(field, ">", value)])
    bounds = {
        "=": models.Range(gte=value, lte=value),
        "<": models.Range(lt=value),
        "<=": models.Range(lte=value),
        ">": models.Range(gt=value),
        ">=": models.Range(gte=value),
    }
    return models.FieldCondition(key=field, range=bounds[op])


def _whole(field: str, op: str, value: float) -> models.Condition:
    """A comparison of whole numbers, with bounds that are whole: the server would cut others."""
    if abs(value) > _LARGEST:
        value = math.copysign(math.inf, value)
        return _all_known(field) if _infinite_holds(op, value) else _never()
    if op == "!=":
        return _any_of([_whole(field, "<", value), _whole(field, ">", value)])
    if op == "=" and not float(value).is_integer():
        return _never()
    bounds = {
        "=": models.Range(gte=value, lte=value),
        "<": models.Range(lte=math.ceil(value) - 1),
        "<=": models.Range(lte=math.floor(value)),
        ">": models.Range(gte=math.floor(value) + 1),
        ">=": models.Range(gte=math.ceil(value)),
    }
    return models.FieldCondition(key=field, range=bounds[op])


def _infinite_holds(op: str, infinite: float) -> bool:
    """Whether every number there is compares so with this infinite one."""
    return op == "!=" or op in (("<", "<=") if infinite > 0 else (">", ">="))


def _all_known(field: str) -> models.Condition:
    largest = _LARGEST if field in WHOLE else sys.float_info.max
    return models.FieldCondition(key=field, range=models.Range(gte=-largest))


def _any_of(conditions: Sequence[models.Condition]) -> models.Condition:
    if len(conditions) == 1:
        return conditions[0]
    return models.Filter(should=list(conditions)) if conditions else _never()


def _never() -> models.Condition:
    return models.HasIdCondition(has_id=[])
