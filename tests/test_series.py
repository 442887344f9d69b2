"""A series is read from a CSV file as it stands, with its gaps, or refused with the place and the remedy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from machinekit.forecasting import read_series, sunspots

NAN = math.nan


def read(tmp_path, text, *arguments, encoding="utf-8"):
    path = tmp_path / "series.csv"
    path.write_bytes(text.encode(encoding) if isinstance(text, str) else text)
    return read_series(path, *arguments)


def test_the_bundled_sunspots_are_there():
    series = sunspots()
    assert (series.name, len(series.values), series.labels[0], series.labels[-1]) == ("sunspots", 309, "1700", "2008")
    assert series.observed.all()
    assert series.values.max() == 190.2
    assert series.label(309) == "2009"


READS = {
    "two columns": ("year,n\n1700,5\n1701,11\n", (), ("1700", "1701"), [5, 11]),
    "one column": ("n\n5\n11\n", (), ("0", "1"), [5, 11]),
    "a column by name": ("a,b,c\n1,2,3\n4,5,6\n", ("b",), ("1", "4"), [2, 5]),
    "the first column by name": ("a,b\n1,x\n4,y\n", ("a",), ("x", "y"), [1, 4]),
    "a date column by name": ("a,b,c\n1,2,3\n4,5,6\n", ("b", "c"), ("3", "6"), [2, 5]),
    "the date column alone": ("a,b\n1,x\n4,y\n", (None, "b"), ("x", "y"), [1, 4]),
    "semicolons": ("year;n\n1700;5.5\n1701;-1e3\n", (), ("1700", "1701"), [5.5, -1000]),
    "tabs": ("year\tn\n1700\t5\n1701\t6\n", (), ("1700", "1701"), [5, 6]),
    "an index column without a name": (",n\n0,5\n1,6\n", (), ("0", "1"), [5, 6]),
    "quoted cells": ('"the year","n, or so"\n"1700"," 5 "\n"17""01","6"\n', (), ("1700", '17"01'), [5, 6]),
    "a quoted line break": ('when,n\n"a\nb",5\nc,6\n', (), ("a\nb", "c"), [5, 6]),
    "a separator of lines that is none in CSV": ("when,n\na\u2028b,5\nc\x0c,6\n", (), ("a\u2028b", "c"), [5, 6]),
    "Windows line ends": ("year,n\r\n1700,5\r\n1701,6\r\n", (), ("1700", "1701"), [5, 6]),
    "blank lines around": ("\n\nyear,n\n1700,5\n1701,6\n\n\n", (), ("1700", "1701"), [5, 6]),
    "no line end": ("year,n\n1700,5\n1701,6", (), ("1700", "1701"), [5, 6]),
    "gaps": ("t,n\n0,1\n1,\n2,NaN\n3,na\n4, N/A \n5,null\n6,None\n7,2\n", (), tuple("01234567"), [1, *[NAN] * 6, 2]),
    "gaps in a single column": ('n\n1\n\n""\nnan\n2\n', (), tuple("01234"), [1, NAN, NAN, NAN, 2]),
    "text in another column": ("t,n,remark\n0,1,x\n1,2,inf\n", ("n",), ("0", "1"), [1, 2]),
}  # fmt: skip


@pytest.mark.parametrize("what", READS)
def test_files_are_read_as_they_stand(tmp_path, what):
    text, arguments, labels, values = READS[what]
    series = read(tmp_path, text, *arguments)
    assert series.labels == labels
    np.testing.assert_array_equal(series.values, values)
    np.testing.assert_array_equal(series.observed, ~np.isnan(np.array(values, dtype=float)))


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path):
    series = read(tmp_path, "n\n1\n2\n", "n", encoding="utf-8-sig")
    assert (series.name, list(series.values)) == ("n", [1.0, 2.0])


@given(values=st.lists(st.floats(allow_infinity=False), min_size=1, max_size=20))
def test_every_number_that_python_prints_is_read_back(tmp_path_factory, values):
    text = "t,n\n" + "".join(f"{k},{v!r}\n" for k, v in enumerate(values))
    series = read(tmp_path_factory.mktemp("round"), text)
    np.testing.assert_array_equal(series.values, values)


REFUSED = {
    "nothing": ("", (), r"series.csv is empty; it needs a header line"),
    "blanks": (" \n\n", (), r"is empty"),
    "one line": ("year,n\n", (), r"has one line, 'year,n'; it needs a header line and one row per time step"),
    "one line and blanks": ("year,n\n\n ,\n", (), r"has one line"),
    "an infinity": ("t,n\n0,1\n1,inf\n", (), r"line 3, column 'n': 'inf' is no finite number; give a number, or leave"),
    "a number too large": ("t,n\n0,-1e999\n", (), r"line 2, column 'n': '-1e999' is no finite number"),
    "text": ("t,n\n0,1\n1,2\n2,about 3\n", (), r"line 4, column 'n': 'about 3' is no finite number"),
    "a Python number": ("t,n\n0,1_000\n", (), r"line 2, column 'n': '1_000' is no finite number"),
    "text after a quoted line break": ('t,n\n"a\nb",1\nc,x\n', (), r"line 4, column 'n': 'x'"),
    "a missing column": ("year,spots\n1,2\n", ("sports",), r"--column is 'sports', but .* columns year, spots; did"),
    "a missing column like none": ("year,spots\n1,2\n", ("zzz",), r"choose from year, spots"),
    "a missing date column": ("year,n\n1,2\n", ("n", "yaer"), r"--date-column is 'yaer', but .* did you mean 'year'\?"),
    "a missing date column alone": ("year,n\n1,2\n", (None, "yaer"), r"--date-column is 'yaer', but"),
    "one column for both": ("year,n\n1,2\n", ("n", "n"), r"--date-column and --column both name 'n'"),
    "too many columns to guess": ("a,b,c\n1,2,3\n", (), r"has columns a, b, c; say which one to forecast with"),
    "a row too short": ("t,n\n0,1\n1\n", (), r"line 3: 1 cells for 2 columns; give every row one cell each"),
    "a row too long": ("t,n\n0,1,2\n", (), r"line 2: 3 cells for 2 columns"),
    "a blank line inside": ("t,n\n0,1\n\n2,3\n", (), r"line 3: 1 cells for 2 columns"),
    "a name twice": ("n,n\n0,1\n", (), r"has columns \['n', 'n'\], some twice; give every column a name of its own"),
    "no header": ("1700,5\n1701,11\n", (), r"starts with '1700,5', which looks like data; put a header line above it"),
    "a quote that is not closed": ('t,n\n0,"1\n1,2\n', (), r"series.csv, line 3: unexpected end of data; close every"),
    "a quoted novel": ('t,n\n0,"' + "x" * 200000 + '"\n', (), r"line 2: field larger than field limit"),
    "another encoding": ("t,größe\n0,1\n".encode("latin-1"), (), r"is not UTF-8 text; save it as a UTF-8 CSV file"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_series_is_refused_with_the_place_and_the_remedy(tmp_path, what):
    text, arguments, words = REFUSED[what]
    with pytest.raises(ValueError, match=words) as caught:
        read(tmp_path, text, *arguments)
    assert "series.csv" in str(caught.value) or "--" in str(caught.value)


def test_a_decimal_comma_is_refused_at_its_line(tmp_path):
    with pytest.raises(ValueError, match="line 3, column 'n': '1,5' is no finite number"):
        read(tmp_path, "t;n\n0;1\n1;1,5\n")


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="which does not exist; give the path of a CSV file"):
        read_series(tmp_path / "absent.csv")


@pytest.mark.parametrize(
    ("labels", "after"),
    [(("5", "7"), "11"), (("2020-01", "2020-02"), "2020-02+2"), (("3",), "3+2"), (("-1", "-2"), "-4")],
)
def test_labels_go_on_past_the_end(tmp_path, labels, after):
    """Equally spaced integers are continued, anything else is counted from the last label."""
    series = read(tmp_path, "t,n\n" + "".join(f"{label},1\n" for label in labels))
    assert series.label(len(labels) + 1) == after
    assert series.label(0) == labels[0]
