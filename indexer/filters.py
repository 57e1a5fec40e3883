"""The filter language: ``modality=CT and age>=60 and not label:finding=normal``.

One small tree (`indexer.filter_tree`), compiled to SQL here and by stores that filter themselves.

    expression := term (or term)*          term := factor (and factor)*
    factor     := not factor | ( expression ) | field op value | field in (value, …)
    op         := = != < <= > >=

Values are words, or quoted, and so are names of labels: ``label:"finding labels"=Effusion``; a
quote within quotes is doubled. Text compares without regard to case. A value that is unknown for
an item fails every comparison, and ``not`` turns that around. ``word`` is about the words of a
study's reports: ``word=effusion`` has it, ``word!=effusion`` has a report without it.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import CTE, ColumnElement, and_, func, not_, or_, select, tuple_

from indexer.catalog.report_words import is_one_word, studies_saying
from indexer.catalog.tables import Item, Label, Patient, Report, Series, Study
from indexer.errors import FilterError
from indexer.filter_tree import WORD, All, AnyOf, Comparison, Filter, Not

__all__ = [
    "All",
    "AnyOf",
    "Comparison",
    "Filter",
    "Not",
    "columns",
    "field_names",
    "parse_filter",
    "sql_condition",
]

_TOKEN = re.compile(
    r"""(?P<quoted>"(?:[^"]|"")*"|'(?:[^']|'')*')|(?P<op><=|>=|!=|=|<|>)|(?P<mark>[(),])"""
    r"""|(?P<word>(?i:label):(?:"(?:[^"]|"")+"|'(?:[^']|'')+')|[^\s(),<>=!"']+)""",
)
_BARE = re.compile(r"""[^\s(),<>=!"']+""")
_KEYWORDS = ("and", "or", "not", "in")
_MOST_CONDITIONS, _MOST_VALUES, _DEEPEST = 300, 10_000, 30
"""What SQLite (expression depth 1000, 32,766 variables) and Python's own stack bear with ease."""
_TEXT: dict[str, Any] = {
    "modality": Series.modality,
    "body_part": Series.body_part,
    "view": Series.view,
    "laterality": Series.laterality,
    "manufacturer": Series.manufacturer,
    "model": Series.model,
    "series_description": Series.description,
    "study_description": Study.description,
    "sex": Study.sex,
    "split": Study.split,
    "kind": Item.kind,
    "role": Item.role,
    "study": Study.study_instance_uid,
    "series": Series.series_instance_uid,
    "patient": Patient.pseudonym,
}
_NUMBER: dict[str, Any] = {"age": Study.age_years, "slices": Item.slices}
_DATE: dict[str, Any] = {"study_date": Study.study_date}
_VALUES: dict[str, CTE] = {
    field: select(column.label("value"))
    .distinct()
    .cte(f"values_of_{field}")
    .prefix_with("MATERIALIZED")
    for field, column in _TEXT.items()
}
"""What a field can be, each spelling once, so that few are to be put into lower case. Materialized,
else SQLite would move the comparison inside, before the rows become few."""
_LABELS = select(Label.name, Label.value).distinct().cte("labels").prefix_with("MATERIALIZED")
_COMPARE: dict[str, Callable[[Any, Any], ColumnElement[bool]]] = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def field_names() -> list[str]:
    """All fields of the language, sorted; ``label:<name>`` stands for every label."""
    return sorted([*_TEXT, *_NUMBER, *_DATE, WORD, "label:<name>"])


def columns() -> dict[str, Any]:
    """The column that each field of the language is about, labels and words aside."""
    return {**_TEXT, **_NUMBER, **_DATE}


def parse_filter(expression: str) -> Filter:
    """Read an expression.

    Raises:
        FilterError: pointing at the place, with what was expected there.
    """
    return _Parser(expression).parse()


def format_filter(tree: Filter) -> str:
    """The tree as an expression that `parse_filter` reads back to the same tree."""
    match tree:
        case Comparison():
            return _format_comparison(tree)
        case Not(part):
            return f"not {_format_part(part)}"
        case All(parts):
            return " and ".join(_format_part(part) for part in parts)
        case AnyOf(parts):
            return " or ".join(_format_part(part) for part in parts)


def _format_part(tree: Filter) -> str:
    text = format_filter(tree)
    return f"({text})" if isinstance(tree, All | AnyOf) else text


def _format_comparison(tree: Comparison) -> str:
    kind, colon, name = tree.field.partition(":")
    field = f"{kind}:{_format_text(name)}" if colon else kind
    values = [_format_text(v) if isinstance(v, str) else _format_number(v) for v in tree.values]
    if len(values) == 1:
        return f"{field}{tree.op}{values[0]}"
    return f"{field} in ({', '.join(values)})"


def _format_text(text: str) -> str:
    if _BARE.fullmatch(text) and text.lower() not in _KEYWORDS:
        return text
    return '"' + text.replace('"', '""') + '"'


def _format_number(number: float) -> str:
    return repr(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


def _unquoted(text: str) -> str:
    """A token without its quotes, if it has any."""
    mark = text[:1]
    return text[1:-1].replace(2 * mark, mark) if mark in ('"', "'") else text


def sql_condition(tree: Filter) -> ColumnElement[bool]:
    """The tree as a condition over item joined with series, study and patient; never NULL."""
    match tree:
        case Comparison():
            return _comparison(tree)
        case Not(part):
            return not_(sql_condition(part))
        case All(parts):
            return and_(*(sql_condition(p) for p in parts))
        case AnyOf(parts):
            return or_(*(sql_condition(p) for p in parts))


def _comparison(tree: Comparison) -> ColumnElement[bool]:
    if tree.field.startswith("label:"):
        return _has_label(tree)
    if tree.field == WORD:
        return _has_word(tree)
    if tree.field in _NUMBER:
        number = _NUMBER[tree.field]
        return and_(number.is_not(None), _one_of(number, tree.op, tree.values))
    if tree.field in _DATE:
        column = _DATE[tree.field]
        return and_(column != "", _one_of(column, tree.op, tree.values))
    value = _VALUES[tree.field].c.value
    same = _one_of(func.lower(value), tree.op, [str(v).lower() for v in tree.values])
    spellings = select(value).where(value != "", same)
    among: ColumnElement[bool] = _TEXT[tree.field].in_(spellings)
    return among


def _has_label(tree: Comparison) -> ColumnElement[bool]:
    """The study, or the item itself, has such a label."""
    same = func.lower(_LABELS.c.value).in_([str(v).lower() for v in tree.values])
    spellings = select(_LABELS.c.name, _LABELS.c.value).where(
        func.lower(_LABELS.c.name) == tree.field.removeprefix("label:"),
        same if tree.op == "=" else not_(same),
    )
    # Said before the query, as SQLite reads expressions to a limited depth.
    said = (
        select(Label.study_id, Label.item_id)
        .where(tuple_(Label.name, Label.value).in_(spellings))
        .cte()
    )
    return or_(
        Study.id.in_(select(said.c.study_id).where(said.c.item_id.is_(None))),
        Item.id.in_(select(said.c.item_id).where(said.c.item_id.is_not(None))),
    )


def _has_word(tree: Comparison) -> ColumnElement[bool]:
    """The study's reports have one of the words; of ``!=`` they have it not, and there are some."""
    saying = Study.id.in_(studies_saying([str(v) for v in tree.values]))
    if tree.op == "=":
        return saying
    return and_(Study.id.in_(select(Report.study_id)), not_(saying))


def _one_of(column: Any, op: str, values: Sequence[Any]) -> ColumnElement[bool]:
    """The comparison with the one value, or with several of which one has to be equal."""
    if len(values) == 1:
        return _COMPARE[op](column, values[0])
    among: ColumnElement[bool] = column.in_(values)
    return among


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    position: int


class _Parser:
    """Recursive descent over the tokens of one expression."""

    def __init__(self, expression: str) -> None:
        self._expression = expression
        self._tokens = self._split()
        self._at = self._conditions = self._values = self._depth = 0

    def parse(self) -> Filter:
        tree = self._either()
        token = self._peek()
        if token.kind != "end":
            raise self._error(f"expected 'and', 'or' or the end, found '{token.text}'", token)
        return tree

    def _split(self) -> list[_Token]:
        tokens, position = [], 0
        text = self._expression.rstrip()
        while position < len(text):
            if text[position].isspace():
                position += 1
                continue
            match = _TOKEN.match(text, position)
            if match is None or match.lastgroup is None:
                what = "this quote is not closed" if text[position] in "\"'" else "cannot read this"
                raise FilterError(what, self._expression, position)
            kind = match.lastgroup
            value = match[kind]
            if kind == "word" and value.lower() in _KEYWORDS:
                kind, value = "keyword", value.lower()
            tokens.append(_Token(kind, value, position))
            position = match.end()
        tokens.append(_Token("end", "the end", len(text)))
        return tokens

    def _peek(self) -> _Token:
        return self._tokens[self._at]

    def _next(self) -> _Token:
        token = self._tokens[self._at]
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token

    def _take(self, text: str) -> bool:
        token = self._peek()
        if token.kind in ("keyword", "mark") and token.text == text:
            self._next()
            return True
        return False

    def _either(self) -> Filter:
        parts = [self._both()]
        while self._take("or"):
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def _both(self) -> Filter:
        parts = [self._factor()]
        while self._take("and"):
            parts.append(self._factor())
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _factor(self) -> Filter:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._error(f"more than {_DEEPEST} levels of 'not' and '('", self._peek())
        tree: Filter
        if self._take("not"):
            tree = Not(self._factor())
        elif self._take("("):
            tree = self._either()
            self._expect(")")
        else:
            tree = self._condition()
        self._depth -= 1
        return tree

    def _condition(self) -> Comparison:
        field = self._next()
        self._conditions += 1
        if self._conditions > _MOST_CONDITIONS:
            raise self._error(f"more than {_MOST_CONDITIONS} conditions", field)
        if field.kind != "word":
            raise self._error(f"expected a field, found '{field.text}'", field)
        name = self._field(field)
        op = self._next()
        if op.kind == "keyword" and op.text == "in":
            self._expect("(")
            values = [self._value(name)]
            while self._take(","):
                values.append(self._value(name))
            self._expect(")")
            return Comparison(name, "=", tuple(values))
        if op.kind != "op":
            raise self._error("expected one of = != < <= > >= in", op)
        if op.text not in ("=", "!=") and (name == WORD or name.startswith("label:")):
            kind = WORD if name == WORD else "label"
            raise self._error(f"a {kind} is compared by = != or in", op)
        return Comparison(name, op.text, (self._value(name),))

    def _expect(self, mark: str) -> None:
        token = self._peek()
        if not self._take(mark):
            raise self._error(f"expected '{mark}', found '{token.text}'", token)

    def _field(self, token: _Token) -> str:
        name = token.text.lower()
        if name in _TEXT or name in _NUMBER or name in _DATE or name == WORD:
            return name
        label = _unquoted(name.removeprefix("label:"))
        if name.startswith("label:") and label:
            return f"label:{label}"
        near = difflib.get_close_matches(name, field_names(), 1)
        meant = f"did you mean '{near[0]}'? There" if near else "there"
        raise self._error(
            f"unknown field '{token.text}'; {meant} are {', '.join(field_names())}", token
        )

    def _value(self, field: str) -> Any:
        token = self._next()
        if token.kind not in ("word", "quoted"):
            raise self._error(f"expected a value, found '{token.text}'", token)
        self._values += 1
        if self._values > _MOST_VALUES:
            raise self._error(f"more than {_MOST_VALUES} values", token)
        text = _unquoted(token.text) if token.kind == "quoted" else token.text
        if field in _NUMBER:
            try:
                number = float(text)
            except ValueError:
                number = math.nan
            if math.isnan(number):
                raise self._error(f"{field} is a number, not '{text}'", token)
            return number
        if field in _DATE:
            try:
                return date.fromisoformat(text).isoformat()
            except ValueError as error:
                raise self._error(f"'{text}' is no date like 2024-01-31", token) from error
        if field == WORD and not is_one_word(text):
            raise self._error(f"{WORD} is one whole word of letters or digits, not '{text}'", token)
        return text

    def _error(self, message: str, token: _Token) -> FilterError:
        return FilterError(message, self._expression, token.position)
