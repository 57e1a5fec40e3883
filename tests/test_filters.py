"""The filter language: what it reads, what it refuses and where, and what it finds."""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, insert, select

from indexer.catalog.database import migrate, open_engine, reading, transaction
from indexer.catalog.tables import Item, Label, Patient, Report, Series, Study
from indexer.errors import FilterError
from indexer.filters import (
    All,
    AnyOf,
    Comparison,
    Filter,
    Not,
    field_names,
    format_filter,
    parse_filter,
    sql_condition,
)

CT = Comparison("modality", "=", ("CT",))
OLD = Comparison("age", ">=", (60.0,))
HEAD = Comparison("body_part", "=", ("HEAD",))


# -- reading an expression ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "tree"),
    [
        ("modality=CT", CT),
        ("  MODALITY = CT  ", CT),
        ("modality='CT'", CT),
        ('modality="CT"', CT),
        ("age>=60", OLD),
        ("age >= 60.0", OLD),
        ("modality=CT and age>=60", All((CT, OLD))),
        ("modality=CT AND age>=60 and body_part=HEAD", All((CT, OLD, HEAD))),
        ("modality=CT or age>=60 and body_part=HEAD", AnyOf((CT, All((OLD, HEAD))))),
        ("modality=CT and age>=60 or body_part=HEAD", AnyOf((All((CT, OLD)), HEAD))),
        ("(modality=CT or age>=60) and body_part=HEAD", All((AnyOf((CT, OLD)), HEAD))),
        ("not modality=CT and age>=60", All((Not(CT), OLD))),
        ("not (modality=CT and age>=60)", Not(All((CT, OLD)))),
        ("not not modality=CT", Not(Not(CT))),
        ("((modality=CT))", CT),
        ("modality in (CT, 'MR',\"US\")", Comparison("modality", "=", ("CT", "MR", "US"))),
        ("age in (1, 2.5)", Comparison("age", "=", (1.0, 2.5))),
        ("slices<5", Comparison("slices", "<", (5.0,))),
        ("study_date>2024-01-31", Comparison("study_date", ">", ("2024-01-31",))),
        ("study_date=20240131", Comparison("study_date", "=", ("2024-01-31",))),
        ("label:Grade!=2", Comparison("label:grade", "!=", ("2",))),
        ('label:"Finding Labels"=x', Comparison("label:finding labels", "=", ("x",))),
        ("label:'a,b' in (x)", Comparison("label:a,b", "=", ("x",))),
        ("view='in'", Comparison("view", "=", ("in",))),
        ("view=''", Comparison("view", "=", ("",))),
        ('model="a ""b"""', Comparison("model", "=", ('a "b"',))),
        ("label:'it''s'=x", Comparison("label:it's", "=", ("x",))),
        (
            (
                "modality=CT and body_part in (CHEST,ABDOMEN) and age>=60 and "
                "study_date>=2024-01-01 and not label:finding=normal"
            ),
            All(
                (
                    CT,
                    Comparison("body_part", "=", ("CHEST", "ABDOMEN")),
                    OLD,
                    Comparison("study_date", ">=", ("2024-01-01",)),
                    Not(Comparison("label:finding", "=", ("normal",))),
                )
            ),
        ),
        (
            'model="it\'s (one), = and <two>"',
            Comparison("model", "=", ("it's (one), = and <two>",)),
        ),
        ("series_description=T2*+fs", Comparison("series_description", "=", ("T2*+fs",))),
        ("study=1.2.840.1", Comparison("study", "=", ("1.2.840.1",))),
        ("body_part=SCHÄDEL", Comparison("body_part", "=", ("SCHÄDEL",))),
        ("word=Erguss", Comparison("word", "=", ("Erguss",))),
        ("word!='in'", Comparison("word", "!=", ("in",))),
        ("word in (effusion, Röntgen, T2)", Comparison("word", "=", ("effusion", "Röntgen", "T2"))),
    ],
)
def test_expressions_become_trees(expression: str, tree: Filter) -> None:
    assert parse_filter(expression) == tree


@pytest.mark.parametrize(
    ("expression", "at", "message"),
    [
        ("", "", "expected a field, found 'the end'"),
        ("modality", "", "expected one of = != < <= > >= in"),
        ("modality=", "", "expected a value, found 'the end'"),
        ("modality=CT and", "", "expected a field, found 'the end'"),
        ("modality=CT age>3", "age", "expected 'and', 'or' or the end, found 'age'"),
        ("modality=CT)", ")", "found ')'"),
        ("(modality=CT", "", "expected ')', found 'the end'"),
        (
            "modality=CT and  colour=red",
            "colour",
            "unknown field 'colour'; there are age, body_part",
        ),
        ("age>3 and modalty=CT", "modalty", "unknown field 'modalty'; did you mean 'modality'?"),
        ("studydate>2024-01-01", "studydate", "did you mean 'study_date'? There are age"),
        ("label:=x", "label:", "unknown field 'label:'"),
        ("age>=abc", "abc", "age is a number, not 'abc'"),
        ("study_date>=2024-13-01", "2024-13-01", "'2024-13-01' is no date like 2024-01-31"),
        ("study_date=2023-02-29", "2023-02-29", "is no date like"),
        ("age>=old", "old", "age is a number, not 'old'"),
        ("age in (1, nan)", "nan", "age is a number, not 'nan'"),
        ("study_date>2024-31-01", "2024-31-01", "'2024-31-01' is no date like 2024-01-31"),
        ("modality in CT", "CT", "expected '(', found 'CT'"),
        ("modality in (CT", "", "expected ')'"),
        ("modality in ()", ")", "expected a value, found ')'"),
        ("modality in (CT,)", ")", "expected a value, found ')'"),
        ("modality==CT", "=CT", "expected a value, found '='"),
        ("label:grade<3", "<", "a label is compared by = != or in"),
        ("word<effusion", "<", "a word is compared by = != or in"),
        ("word='pleural effusion'", "'pleural", "word is one whole word of letters or digits, not"),
        ("word in (a, x-ray)", "x-ray", "not 'x-ray'"),
        ("word=effus*", "effus*", "word is one whole word"),
        ("word=''", "''", "word is one whole word"),
        ('age>3 and model= "Aurora', '"Aurora', "this quote is not closed"),
        ("model=it's", "'s", "this quote is not closed"),
        ("age!3", "!", "cannot read this"),
        ("and modality=CT", "and", "expected a field, found 'and'"),
        ("modality=CT or or age>3", "or age", "expected a field, found 'or'"),
        ("view=in", "in", "expected a value, found 'in'"),
        ("not", "", "expected a field, found 'the end'"),
    ],
)
def test_errors_point_at_the_place(expression: str, at: str, message: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse_filter(expression)
    position = expression.rindex(at) if at else len(expression)
    assert caught.value.position == position
    said, shown, pointer = str(caught.value).split("\n")
    assert message in said
    assert shown == f"  {expression}"
    assert pointer == " " * (2 + position) + "^"


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("(" * 5000 + "age>1" + ")" * 5000, "levels of"),
        ("not " * 5000 + "age>1", "levels of"),
        (" or ".join(["age>1"] * 5000), "more than 300 conditions"),
        (f"modality in ({','.join(['x'] * 20_000)})", "more than 10000 values"),
    ],
)
def test_what_is_too_large_is_refused_not_crashed_on(expression: str, message: str) -> None:
    with pytest.raises(FilterError, match=message):
        parse_filter(expression)


@given(st.text(alphabet="modality=CT age><!'\"(), label:x innot or and 0-9é", max_size=40))
@settings(max_examples=300)
def test_anything_is_read_or_refused(expression: str) -> None:
    try:
        parse_filter(expression)
    except FilterError as error:
        assert 0 <= error.position <= len(expression)


# -- writing a tree --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "written"),
    [
        ("  MODALITY = 'CT' ", "modality=CT"),
        ("age in (1, 2.50)", "age in (1, 2.5)"),
        ("study_date>20240131", "study_date>2024-01-31"),
        (
            "(modality=CT or age>=60) and not (view='in')",
            '(modality=CT or age>=60) and not view="in"',
        ),
        ('label:"Finding Labels"!="it\'s ""x"""', 'label:"finding labels"!="it\'s ""x"""'),
    ],
)
def test_a_tree_is_written_plainly(expression: str, written: str) -> None:
    assert format_filter(parse_filter(expression)) == written


any_comparison = st.one_of(
    st.builds(
        lambda field, op, text: Comparison(field, op, (text,)),
        st.sampled_from(["modality", "model", "study"]),
        st.sampled_from(["=", "!=", "<", "<=", ">", ">="]),
        st.text(max_size=8) | st.text(alphabet="in'\"=() ,", max_size=4),
    ),
    st.builds(
        lambda name, op, values: Comparison(f"label:{name.lower()}", op, tuple(values)),
        st.text(min_size=1, max_size=8) | st.text(alphabet="in'\"=() ,:", min_size=1, max_size=4),
        st.just("="),
        st.lists(st.text(max_size=4), min_size=1, max_size=3),
    ),
    st.builds(
        lambda op, word: Comparison("word", op, (word,)),
        st.sampled_from(["=", "!="]),
        st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8),
    ),
    st.builds(
        lambda op, number: Comparison("age", op, (number,)),
        st.sampled_from(["=", "<", ">="]),
        st.floats(allow_nan=False),
    ),
)


@given(
    st.recursive(
        any_comparison,
        lambda inside: st.one_of(
            inside.map(Not),
            st.lists(inside, min_size=2, max_size=3).map(lambda parts: All(tuple(parts))),
            st.lists(inside, min_size=2, max_size=3).map(lambda parts: AnyOf(tuple(parts))),
        ),
        max_leaves=6,
    )
)
@settings(max_examples=300)
def test_what_is_written_is_read_back_to_the_same_tree(tree: Filter) -> None:
    assert parse_filter(format_filter(tree)) == tree


# -- finding: SQL against a slow evaluation in plain Python ---------------------------------------

POOLS: dict[str, list[str]] = {
    "modality": ["CT", "MR", "DX", ""],
    "body_part": ["HEAD", "SCHÄDEL", "Chest", ""],
    "view": ["PA", "AP", "in", ""],
    "laterality": ["L", "R", ""],
    "manufacturer": ["Phantom Works", "Synthetic (Imaging)", ""],
    "model": ["Model One", "it's", ""],
    "series_description": ["AX T1", "ax t2", "50%_x", ""],
    "study_description": ["CT HEAD", "Œil", ""],
    "sex": ["F", "M", "O", ""],
    "split": ["train", "val", "test", ""],
    "kind": ["image", "volume"],
    "role": ["primary", "localizer", "derived"],
    "study_date": ["2020-02-29", "2023-12-31", "2024-01-01", ""],
}
LABELS = {"finding": ["normal", "Nodule", "große Läsion"], "finding labels": ["a|b", "normal"]}
NUMBERS: dict[str, list[float | None]] = {"age": [None, 0.5, 17, 60, 90.25], "slices": [1, 2, 24]}
REPORTS = [
    (),
    ("Befund: großer Pleuraerguss rechts.", "Kein Pneumothorax!"),
    ("PLEURAL EFFUSION; x-ray of the head",),
    ("Röntgen: opacity_left, 12 mm. No effusion",),
    ("Rontgen, Ro\u0308ntgen\nCafé",),
    ("?!", "12mm"),
]
WORDS = ["Erguss", "pleuraerguss", "EFFUSION", "Röntgen", "rontgen", "ray", "left", "opacity", "12"]
WORDS += ["großer", "head", "kein", "cafe", "Ct", "normal", "unheard", "mm", "日本"]

Record = dict[str, Any]


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Connection, list[Record]]]:
    """Forty items of random studies, as rows and as plain records."""
    engine = open_engine(tmp_path_factory.mktemp("filters") / "catalog.sqlite")
    migrate(engine, create=True)
    with transaction(engine) as db:
        records = list(_random_items(db, random.Random(3)))
    with reading(engine) as db:
        yield db, records
    engine.dispose()


def _random_items(db: Connection, rng: random.Random) -> Iterator[Record]:
    def drawn(*names: str) -> Record:
        return {name: rng.choice(POOLS[name]) for name in names}

    def new(table: Any, **values: Any) -> int:
        return int(db.execute(insert(table).values(values).returning(table.id)).scalar_one())

    def label(study: int, item: int | None) -> tuple[str, str]:
        name = rng.choice(list(LABELS))
        value = rng.choice(LABELS[name])
        new(Label, study_id=study, item_id=item, name=name, value=value)
        return name, value

    for number in range(16):
        patient = {"patient": f"pseudonym{number % 5}"}
        row = db.execute(select(Patient.id).where(Patient.pseudonym == patient["patient"])).scalar()
        row = row or new(Patient, pseudonym=patient["patient"])
        said = drawn("sex", "split", "study_date", "study_description")
        columns = {k.replace("study_description", "description"): v for k, v in said.items()}
        age = rng.choice(NUMBERS["age"])
        uid = f"1.2.{number}"
        study = new(Study, study_instance_uid=uid, patient_id=row, age_years=age, **columns)
        words = {label(study, None) for _ in range(rng.randrange(3))}
        reports = REPORTS[number % len(REPORTS)]
        for source, text in enumerate(reports):
            new(Report, study_id=study, source=str(source), text=text)
        for part in range(rng.choice([1, 1, 2])):
            of_series = drawn(
                "modality", "body_part", "view", "laterality", "manufacturer", "model"
            )
            description = rng.choice(POOLS["series_description"])
            series = new(
                Series,
                series_instance_uid=f"{uid}.{part}",
                study_id=study,
                description=description,
                **of_series,
            )
            for place in range(rng.choice([1, 2, 3])):
                of_item = {**drawn("kind", "role"), "slices": rng.choice(NUMBERS["slices"])}
                item = new(
                    Item,
                    uid=f"{uid}.{part}.{place}",
                    series_id=series,
                    pixel_hash="",
                    **of_item,
                )
                own = {label(study, item)} if rng.random() < 0.3 else set()
                yield {
                    "id": item,
                    "age": age,
                    "study": uid,
                    "series": f"{uid}.{part}",
                    **patient,
                    **said,
                    **of_series,
                    **of_item,
                    "series_description": description,
                    "labels": words | own,
                    "reports": reports,
                }


def found(db: Connection, tree: Filter) -> set[int]:
    query = select(Item.id).select_from(Item).join(Series).join(Study).join(Patient)
    return set(db.execute(query.where(sql_condition(tree))).scalars())


def holds(tree: Filter, item: Record) -> bool:
    """The meaning of the language, spelt out."""
    match tree:
        case Not(part):
            return not holds(part, item)
        case All(parts):
            return all(holds(part, item) for part in parts)
        case AnyOf(parts):
            return any(holds(part, item) for part in parts)
    if tree.field.startswith("label:"):
        wanted = {str(v).lower() for v in tree.values}
        name = tree.field.removeprefix("label:")
        values = [v.lower() for n, v in item["labels"] if n == name]
        return any((v in wanted) == (tree.op == "=") for v in values)
    if tree.field == "word":
        wanted = set(map(folded, map(str, tree.values)))
        said = set(re.findall(r"[^\W_]+", folded(" ".join(item["reports"]))))
        return bool(item["reports"]) and bool(wanted & said) == (tree.op == "=")
    value = item[tree.field]
    if value in ("", None):
        return False  # unknown fails every comparison
    if isinstance(value, str):
        return any(compares(value.lower(), tree.op, str(v).lower()) for v in tree.values)
    return any(compares(value, tree.op, v) for v in tree.values)


def folded(text: str) -> str:
    """Without case and marks."""
    apart = unicodedata.normalize("NFD", text.lower())
    return "".join(each for each in apart if not unicodedata.combining(each))


def compares(a: Any, op: str, b: Any) -> bool:
    results = {"=": a == b, "!=": a != b, "<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}
    return results[op]


def comparisons() -> st.SearchStrategy[Filter]:
    ops = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])

    def over(field: str, values: list[Any], ops: st.SearchStrategy[str]) -> Any:
        known = [v for v in values if v not in ("", None)]
        cased = (
            [f(v) for v in known for f in (str, str.upper, str.lower)]
            if isinstance(known[0], str) and field != "study_date"
            else known
        )
        one = st.builds(lambda op, v: Comparison(field, op, (v,)), ops, st.sampled_from(cased))
        many = st.lists(st.sampled_from(cased), min_size=2, max_size=3).map(
            lambda vs: Comparison(field, "=", tuple(vs))
        )
        return one | many

    strategies = [over(field, values, ops) for field, values in POOLS.items()]
    strategies += [
        over(f, [float(v) for v in vs if v is not None], ops) for f, vs in NUMBERS.items()
    ]
    strategies += [
        over(f"label:{name}", [*values, "unheard of"], st.sampled_from(["=", "!="]))
        for name, values in LABELS.items()
    ]
    strategies.append(over("word", WORDS, st.sampled_from(["=", "!="])))
    strategies += [
        over("study", ["1.2.3", "1.2.11"], ops),
        over("series", ["1.2.3.0", "1.2.11.1"], ops),
        over("patient", ["pseudonym1", "pseudonym4"], ops),
    ]
    return st.one_of(strategies)


trees = st.recursive(
    comparisons(),
    lambda inside: st.one_of(
        inside.map(Not),
        st.lists(inside, min_size=2, max_size=3).map(lambda parts: All(tuple(parts))),
        st.lists(inside, min_size=2, max_size=3).map(lambda parts: AnyOf(tuple(parts))),
    ),
    max_leaves=8,
)


@given(trees)
@settings(max_examples=400)
def test_sql_finds_what_the_slow_evaluation_finds(
    catalog: tuple[Connection, list[Record]], tree: Filter
) -> None:
    db, records = catalog
    assert parse_filter(format_filter(tree)) == tree
    assert found(db, tree) == {item["id"] for item in records if holds(tree, item)}


@pytest.mark.parametrize("field", [n for n in field_names() if n not in ("label:<name>", "word")])
def test_every_field_finds_by_its_own_values(
    catalog: tuple[Connection, list[Record]], field: str
) -> None:
    db, records = catalog
    values = {item[field] for item in records} - {"", None}
    assert len(values) > 1
    for value in values:
        wanted = {item["id"] for item in records if item[field] == value}
        text = f'"{value}"' if isinstance(value, str) else str(value)
        assert found(db, parse_filter(f"{field}={text}")) == wanted
        others = {i["id"] for i in records if i[field] not in ("", None)} - wanted
        assert found(db, parse_filter(f"{field}!={text}")) == others, "unknown is not different"


def test_unknown_fails_every_comparison_and_not_turns_that_around(
    catalog: tuple[Connection, list[Record]],
) -> None:
    db, records = catalog
    unknown = {item["id"] for item in records if item["age"] is None}
    assert unknown
    assert not unknown & found(db, parse_filter("age<50 or age>=50 or age!=7 or age in (1,2)"))
    assert unknown == found(db, parse_filter("not (age<50 or age>=50)"))


def test_case_does_not_matter_beyond_ascii_either(
    catalog: tuple[Connection, list[Record]],
) -> None:
    db, records = catalog
    wanted = {item["id"] for item in records if item["body_part"] == "SCHÄDEL"}
    assert wanted
    for spelling in ("SCHÄDEL", "schädel", "Schädel"):
        assert found(db, parse_filter(f"body_part={spelling}")) == wanted


def test_words_are_those_of_reports_whole_and_without_case_and_marks(
    catalog: tuple[Connection, list[Record]],
) -> None:
    db, records = catalog

    def of(*numbers: int) -> set[int]:
        return {item["id"] for item in records if REPORTS.index(item["reports"]) in numbers}

    assert found(db, parse_filter("word=EFFUSION")) == of(2, 3), "also where it is denied"
    assert (
        found(db, parse_filter("word=rontgen"))
        == found(db, parse_filter("word=RÖNTGEN"))
        == of(3, 4)
    )
    assert found(db, parse_filter("word=erguss")) == set(), "part of a word"
    assert found(db, parse_filter("word=pneumothorax")) == of(1), "any report of the study"
    assert found(db, parse_filter("word=head")) == of(2), "not of a description"
    assert found(db, parse_filter("word!=effusion")) == of(1, 4, 5), "there is a report"
    assert found(db, parse_filter("not word=effusion")) == of(0, 1, 4, 5)


@given(st.text(max_size=12))
@settings(max_examples=200)
def test_any_word_can_be_asked_for(catalog: tuple[Connection, list[Record]], word: str) -> None:
    db, records = catalog
    try:
        tree = parse_filter('word="' + word.replace('"', '""') + '"')
    except FilterError as error:
        assert "one whole word" in str(error)
    else:
        with_it, without = found(db, tree), found(db, Comparison("word", "!=", tree.values))
        assert not with_it & without
        assert with_it | without == {item["id"] for item in records if item["reports"]}


def test_as_much_as_is_allowed_can_be_answered(catalog: tuple[Connection, list[Record]]) -> None:
    db, records = catalog
    everything = {item["id"] for item in records}
    many = " or ".join(["age>200"] * 299 + ["kind in (image, volume)"])
    assert found(db, parse_filter(many)) == everything
    assert found(db, parse_filter("not " * 28 + "kind in (image, volume)")) == everything
    deep = "(" * 28 + " and ".join(["kind in (image, volume)"] * 250) + ")" * 28
    assert found(db, parse_filter(deep)) == everything
    for leaf in ("kind in (image, volume)", "not label:x=y", "not word=unheard"):
        nested = f"{leaf} and ({leaf} or (" * 14 + leaf + "))" * 14
        assert found(db, parse_filter(nested)) == everything
        turned = f"not (sex=x or not ({leaf} and " * 7 + leaf + "))" * 7
        assert found(db, parse_filter(turned)) == everything
    words = f"not word in ({','.join(f'w{n}' for n in range(9_990))})"
    assert found(db, parse_filter(words)) == everything
    assert found(db, parse_filter(" and ".join(f"not word=w{n}" for n in range(300)))) == everything
    long = f"study in ({','.join(f'1.2.{n}' for n in range(9_990))})"
    assert found(db, parse_filter(long)) == everything
