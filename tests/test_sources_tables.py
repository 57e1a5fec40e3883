"""CSV tables beside images."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from indexer.errors import ConfigError, SourceError
from indexer.sources.discover import SourceFile
from indexer.sources.tables import MetadataTable, find_table
from indexer.types import Attributes


def table(folder: Path, text: str, **mapping: str) -> MetadataTable:
    path = folder / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return MetadataTable.load(path, {k.replace("__", ":"): v for k, v in mapping.items()})


def at(path: Path, member: str | None = None) -> SourceFile:
    return SourceFile(str(path), member, 0, 0)


def put(path: Path) -> SourceFile:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return at(path)


def labels_of(found: Attributes | None) -> dict[str, tuple[str, ...]]:
    assert found is not None
    return dict(found.labels)


def test_columns_fill_the_fields_whatever_their_case(tmp_path: Path) -> None:
    read = table(
        tmp_path,
        "Image,Patient ID,Gender,patientAge,View_Position,modality,bodypart,Laterality,date,"
        "impression,subset,manufacturer,StudyInstanceUID,size\n"
        "a.png,P1,female,045Y,pa,dx,Chest,left,20190304,No change.,test,ACME,1.2.3,77\n",
    )
    assert read.lookup(at(tmp_path / "a.png")) == Attributes(
        patient_id="P1",
        sex="F",
        age_years=45.0,
        view="PA",
        modality="DX",
        body_part="CHEST",
        laterality="L",
        study_date="2019-03-04",
        report="No change.",
        split="test",
        manufacturer="ACME",
        study_instance_uid="1.2.3",
    )
    assert read.unused_columns == ("size",)
    assert (read.rows, read.matched, read.duplicates) == (1, 1, 0)


@pytest.mark.parametrize(
    ("text", "years"),
    [
        *[("45", 45), ("045Y", 45), ("3M", 0.25), ("26w", 0.5), ("4.5", 4.5), ("45 years", 45)],
        *[("", None), ("unknown", None), ("411", None), ("-3", None), ("nan", None)],
    ],
)
def test_ages_are_years(tmp_path: Path, text: str, years: float | None) -> None:
    found = table(tmp_path, f"image,age\na.png,{text}\n").lookup(at(tmp_path / "a.png"))
    assert found is not None
    assert found.age_years == pytest.approx(years)


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("2019-03-04", "2019-03-04"),
        ("2019/03/04 10:00", "2019-03-04"),
        ("4.3.2019", "2019-03-04"),
        *[("", ""), ("03/04/2019", ""), ("20191399", ""), ("yesterday", "")],
    ],
)
def test_dates_are_iso_or_nothing(tmp_path: Path, text: str, iso: str) -> None:
    found = table(tmp_path, f"image,date\na.png,{text}\n").lookup(at(tmp_path / "a.png"))
    assert found is not None
    assert found.study_date == iso


def test_label_columns_keep_their_names_and_may_hold_several_values(tmp_path: Path) -> None:
    read = table(
        tmp_path,
        "image,Finding,labels,label_grade,other\n"
        "a.png,Pneumonia,Edema| Pneumonia |,2,x\nb.png,,,,\n",
    )
    assert labels_of(read.lookup(at(tmp_path / "a.png"))) == {
        "finding": ("Pneumonia",),
        "labels": ("Edema", "Pneumonia"),
        "label_grade": ("2",),
    }
    assert labels_of(read.lookup(at(tmp_path / "b.png"))) == {}
    assert read.unused_columns == ("other",)


def test_a_column_map_overrides_the_guesses(tmp_path: Path) -> None:
    text = "id,image,clin_text,col,label\nx.png,other,Fine.,3,odd\n"
    read = table(tmp_path, text, path="ID", report="clin_text", label__grade="col")
    found = read.lookup(at(tmp_path / "x.png"))
    assert found is not None
    assert found.report == "Fine."
    assert labels_of(found) == {"grade": ("3",), "label": ("odd",)}
    assert read.unused_columns == ("image",)


def test_wrong_column_maps_say_what_is_possible(tmp_path: Path) -> None:
    text = "image,text\na.png,x\n"
    with pytest.raises(ConfigError, match=r"'reprot'.*possible are .*report.*label:<name>"):
        table(tmp_path, text, reprot="text")
    with pytest.raises(ConfigError, match="no column 'txt'; it has image, text"):
        table(tmp_path, text, report="txt")
    with pytest.raises(ConfigError, match=r"label:"):
        table(tmp_path, text, label__="text")


def test_a_table_needs_a_column_that_names_the_images(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"labels\.csv has no column.*Its columns are a, b\."):
        table(tmp_path, "a,b\n1,2\n")
    with pytest.raises(SourceError, match="empty"):
        table(tmp_path, "\n")
    with pytest.raises(SourceError, match="cannot be read"):
        MetadataTable.load(tmp_path / "nowhere.csv")


def test_files_are_found_by_path_then_by_name(tmp_path: Path) -> None:
    read = table(
        tmp_path,
        "file,label\na/1.png,one\nb/1.png,two\nscan7,seven\nc\\sub\\2.png,win\n./d/3.png,dot\n",
    )
    assert labels_of(read.lookup(at(tmp_path / "a/1.png"))) == {"label": ("one",)}
    assert labels_of(read.lookup(at(tmp_path / "A/1.PNG"))) == {"label": ("one",)}
    assert labels_of(read.lookup(at(tmp_path / "scan7.nii.gz"))) == {"label": ("seven",)}
    assert labels_of(read.lookup(at(tmp_path / "deep/scan7.dcm"))) == {"label": ("seven",)}
    assert labels_of(read.lookup(at(tmp_path / "c/sub/2.png"))) == {"label": ("win",)}
    assert labels_of(read.lookup(at(tmp_path / "d/3.png"))) == {"label": ("dot",)}
    assert labels_of(read.lookup(at(tmp_path / "moved/2.png"))) == {"label": ("win",)}
    assert read.lookup(at(tmp_path / "moved/1.png")) is None  # two rows have this name
    assert read.lookup(at(tmp_path / "unknown.png")) is None
    assert (read.rows, read.matched) == (5, 4)


def test_a_row_about_one_file_is_not_lent_to_its_namesake(tmp_path: Path) -> None:
    named, namesake = put(tmp_path / "set/a/1.png"), put(tmp_path / "set/b/1.png")
    read = table(tmp_path / "set", "file,label\na/1.png,one\n")
    assert read.lookup(namesake) is None
    assert labels_of(read.lookup(named)) == {"label": ("one",)}
    copied = at(tmp_path / "elsewhere/1.png")
    assert labels_of(read.lookup(copied)) == {"label": ("one",)}


def test_members_of_archives_are_found_by_their_names(tmp_path: Path) -> None:
    read = table(tmp_path, "file,label\nin/1.png,one\ns.zip/in/2.png,two\n")
    assert labels_of(read.lookup(at(tmp_path / "s.zip", "in/1.png"))) == {"label": ("one",)}
    assert labels_of(read.lookup(at(tmp_path / "s.zip", "in/2.png"))) == {"label": ("two",)}


def test_rows_of_arrays_are_found_by_number(tmp_path: Path) -> None:
    read = table(tmp_path, "row,label\n0,a\n1.0,b\n1,c\n")
    npz = at(tmp_path / "x.npz")
    assert labels_of(read.lookup(npz, 0)) == {"label": ("a",)}
    assert labels_of(read.lookup(npz, 1)) == {"label": ("b",)}
    assert read.lookup(npz, 2) is None
    assert read.lookup(npz) is None
    assert read.duplicates == 1
    both = table(tmp_path, "file,row,label\nx.npz,0,a\ny.npz,0,b\ny.npz,,all\n")
    assert labels_of(both.lookup(at(tmp_path / "y.npz"), 0)) == {"label": ("b",)}
    assert labels_of(both.lookup(at(tmp_path / "y.npz"), 1)) == {"label": ("all",)}
    assert both.lookup(at(tmp_path / "x.npz"), 1) is None


def test_line_numbers_beside_file_names_are_no_keys(tmp_path: Path) -> None:
    read = table(tmp_path, "index,image,label\n0,a.png,one\n1,b.png,two\n2,a.png,again\n")
    assert labels_of(read.lookup(at(tmp_path / "a.png"))) == {"label": ("one",)}
    assert labels_of(read.lookup(at(tmp_path / "b.png"))) == {"label": ("two",)}
    assert read.duplicates == 1


def test_uids_are_looked_up_from_the_most_specific_on(tmp_path: Path) -> None:
    read = table(
        tmp_path,
        "study_uid,series_uid,sop_uid,report,view,label\n"
        "1,,,study text,,s\n1,1.1,,,PA,\n1,1.1,1.1.1,image text,,\n1,1.1,1.1.1,late,,\n",
    )
    image = read.lookup_uid("1.1.1", "1.1", "1")
    assert image is not None
    assert (image.report, image.view, labels_of(image)) == ("image text", "PA", {"label": ("s",)})
    other = read.lookup_uid("1.1.2", "1.1", "1")
    assert other is not None
    assert (other.report, other.view) == ("study text", "PA")
    assert read.lookup_uid("9", "9", "9") is None
    assert (read.rows, read.matched, read.duplicates) == (4, 3, 1)


def test_a_row_about_one_file_says_nothing_of_its_study(tmp_path: Path) -> None:
    read = table(tmp_path, "image,study_uid,label\na.png,1,one\n")
    assert read.lookup_uid("1.1.1", "1.1", "1") is None


def test_the_kind_column_tells_label_maps(tmp_path: Path) -> None:
    read = table(tmp_path, "file,kind\na.nrrd,image\na_label.nrrd,Label\n")
    assert read.is_label_map(at(tmp_path / "a_label.nrrd"))
    assert not read.is_label_map(at(tmp_path / "a.nrrd"))
    assert not read.is_label_map(at(tmp_path / "other.nrrd"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_encoding_and_separator_are_found_out(
    tmp_path: Path, encoding: str, separator: str
) -> None:
    lines = [["image", "report"], ["a.png", f"Erguß,{separator} größer"]]
    text = io.StringIO()
    csv.writer(text, delimiter=separator).writerows(lines)
    path = tmp_path / "t.csv"
    path.write_bytes(text.getvalue().encode(encoding))
    found = MetadataTable.load(path).lookup(at(tmp_path / "a.png"))
    assert found is not None
    assert found.report == lines[1][1]


def test_long_reports_and_ragged_lines_are_read(tmp_path: Path) -> None:
    long = "word " * 100_000
    read = table(tmp_path, f'image,label,report\na.png\nb.png,x,"{long}",more\n\n')
    assert labels_of(read.lookup(at(tmp_path / "a.png"))) == {}
    found = read.lookup(at(tmp_path / "b.png"))
    assert found is not None
    assert found.report == long.strip()


CELL = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.from_regex(r"[a-z0-9]{1,6}\.png", fullmatch=True), CELL, min_size=1))
def test_what_is_written_is_found_again(tmp_path: Path, reports: dict[str, str]) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([["file", "report"], *reports.items()])
    read = table(tmp_path, text.getvalue())
    assert read.rows == len(reports)
    for name, report in reports.items():
        found = read.lookup(at(tmp_path / name))
        assert found is not None
        assert found.report == report.strip()
    assert read.matched == len(reports)


def test_the_table_of_a_folder_is_found(tmp_path: Path) -> None:
    put(tmp_path / "images/a.png")
    other = tmp_path / "other.csv"
    other.write_text("image,label\na,x\n")
    assert find_table(tmp_path) == other  # the only one, and a.png is there
    (tmp_path / "second.csv").write_text("image,label\nimages/a.png,x\n")
    assert find_table(tmp_path) is None
    named = tmp_path / "metadata.csv"
    named.write_text("image,label\nimages/a.png,x\n")
    assert find_table(tmp_path) == named
    (tmp_path / "labels.csv").write_text("image,label\nelsewhere.png,x\n")
    assert find_table(tmp_path) == named
    assert find_table(tmp_path / "images/a.png") is None
    assert find_table(tmp_path / "images") is None


def test_a_table_of_rows_belongs_to_the_array_beside_it(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("row,label\n0,x\n")
    assert find_table(tmp_path) is None
    np.savez(tmp_path / "x.npz", images=np.zeros((1, 2, 2)))
    assert find_table(tmp_path) == tmp_path / "labels.csv"


def test_tables_that_do_not_load_are_not_found(tmp_path: Path) -> None:
    put(tmp_path / "a.png")
    (tmp_path / "labels.csv").write_text("nothing,of use\na.png,x\n")
    assert find_table(tmp_path) is None
