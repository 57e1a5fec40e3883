"""The filter language: ``modality=CT and age>=60 and not label:finding=normal``.

One small tree (`indexer.filter_tree`), compiled to SQL here and by stores that filter themselves.

    expression := term (or term)*          term := factor (and factor)*
    factor     := not factor | ( expression ) | field op value | field in (value, …)
    op         := = != < <= > >=

Values are words, or quoted, and so are names of labels: ``label:"finding labels"=Effusion``. Text
compares without regard to case. A value that is unknown for an item fails every comparison, and
``not`` turns that around.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, false, func, not_, or_, select

from indexer.catalog.tables import Item, Label, Patient, Series, Study
from indexer.errors import FilterError
from indexer.filter_tree import All, AnyOf, Comparison, Filter, Not

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
    r"""(?P<quoted>"[^"]*"|'[^']*')|(?P<op><=|>=|!=|=|<|>)|(?P<mark>[(),])"""
    r"""|(?P<word>(?i:label):(?:"[^"]+"|'[^']+')|[^\s(),<>=!"']+)""",
)
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
    return sorted([*_TEXT, *_NUMBER, *_DATE, "label:<name>"])


def columns() -> dict[str, Any]:
    """The column that each field of the language is about, labels aside."""
    return {**_TEXT, **_NUMBER, **_DATE}


def parse_filter(expression: str) -> Filter:
    """Read an expression.

    Raises:
        FilterError: pointing at the place, with what was expected there.
    """
    return _Parser(expression).parse()


def sql_condition(tree: Filter) -> ColumnElement[bool]:
    """The tree as a condition over item joined with series, study and patient."""
    match tree:
        case Comparison():
            return _comparison(tree)
        case Not(part):
            return not_(func.coalesce(sql_condition(part), false()))
        case All(parts):
            return and_(*(sql_condition(p) for p in parts))
        case AnyOf(parts):
            return or_(*(sql_condition(p) for p in parts))


def _comparison(tree: Comparison) -> ColumnElement[bool]:
    if tree.field.startswith("label:"):
        said = func.lower(Label.value).in_([str(v).lower() for v in tree.values])
        return exists(
            select(Label.id).where(
                Label.study_id == Study.id,
                or_(Label.item_id.is_(None), Label.item_id == Item.id),
                func.lower(Label.name) == tree.field.removeprefix("label:"),
                said if tree.op == "=" else not_(said),
            )
        )
    if tree.field in _NUMBER:
        return _one_of(_NUMBER[tree.field], tree.op, tree.values)
    if tree.field in _DATE:
        column = _DATE[tree.field]
        return and_(column != "", _one_of(column, tree.op, tree.values))
    column = _TEXT[tree.field]
    lowered = [str(v).lower() for v in tree.values]
    return and_(column != "", _one_of(func.lower(column), tree.op, lowered))


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
            if kind == "word" and value.lower() in ("and", "or", "not", "in"):
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
        if name.startswith("label:") and op.text not in ("=", "!="):
            raise self._error("a label is compared by = != or in", op)
        return Comparison(name, op.text, (self._value(name),))

    def _expect(self, mark: str) -> None:
        token = self._peek()
        if not self._take(mark):
            raise self._error(f"expected '{mark}', found '{token.text}'", token)

    def _field(self, token: _Token) -> str:
        name = token.text.lower()
        if name in _TEXT or name in _NUMBER or name in _DATE:
            return name
        label = name.removeprefix("label:").strip("\"'")
        if name.startswith("label:") and label:
            return f"label:{label}"
        raise self._error(
            f"unknown field '{token.text}'; there are {', '.join(field_names())}", token
        )

    def _value(self, field: str) -> Any:
        token = self._next()
        if token.kind not in ("word", "quoted"):
            raise self._error(f"expected a value, found '{token.text}'", token)
        self._values += 1
        if self._values > _MOST_VALUES:
            raise self._error(f"more than {_MOST_VALUES} values", token)
        text = token.text[1:-1] if token.kind == "quoted" else token.text
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
        return text

    def _error(self, message: str, token: _Token) -> FilterError:
        return FilterError(message, self._expression, token.position)
