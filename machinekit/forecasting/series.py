"""Reading a series from a CSV file: one column of numbers, gaps where cells are empty or NaN."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np

from ..arrays import near

__all__ = ["Series", "read_series", "sunspots"]

_GAPS = {"", "na", "nan", "n/a", "null", "none"}


@dataclass(frozen=True)
class Series:
    """A series of equally spaced values.

    Attributes
    ----------
    name, source : str
    labels : tuple of str
        One per value: a date, or the row number.
    values : float64 array of shape (time,)
        NaN where there is a gap.
    """

    name: str
    source: str
    labels: tuple[str, ...]
    values: np.ndarray

    @property
    def observed(self) -> np.ndarray:
        """True where there is a value."""
        return np.isfinite(self.values)

    def label(self, k: int) -> str:
        """Return the label of position k, continued past the end where labels are equally spaced numbers."""
        n = len(self.labels)
        if k < n:
            return self.labels[k]
        try:
            last, step = int(self.labels[-1]), int(self.labels[-1]) - int(self.labels[-2])
        except (ValueError, IndexError):
            return f"{self.labels[-1]}+{k - n + 1}"
        return str(last + step * (k - n + 1))


def sunspots() -> Series:
    """Return the bundled yearly sunspot numbers, 1700–2008.

    Examples
    --------
    >>> series = sunspots()
    >>> series.labels[0], series.labels[-1], float(series.values[0])
    ('1700', '2008', 5.0)
    """
    text = files("machinekit.data").joinpath("sunspots.csv").read_text(encoding="utf-8")
    return _parse(text, "the bundled sunspots.csv", "sunspots", "year")


def read_series(path: str | Path, column: str | None = None, date_column: str | None = None) -> Series:
    """Read one column of a CSV file with a header line.

    Parameters
    ----------
    path : path
        UTF-8, comma-separated (or semicolons or tabs, if the header has those and no comma).
    column : str, optional
        The column of numbers; may be left out when only one column can be meant.
    date_column : str, optional
        The column of labels; by default the first column that is not `column`, else row numbers.

    Raises
    ------
    FileNotFoundError, OSError
        If the file cannot be read.
    ValueError
        An empty file, no rows, a missing column, text or an infinity where a number should be, a
        row of the wrong length; the message names the place and the remedy.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"FILE is {str(path)!r}, which does not exist; give the path of a CSV file")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"FILE {str(path)!r} is not UTF-8 text; save it as a UTF-8 CSV file") from None
    return _parse(text, str(path), column, date_column)


def _rows(text: str, source: str) -> list[tuple[int, list[str]]]:
    """Return (line, cells) of every row, from the header to the last row that is not blank."""
    first = next((line for line in text.splitlines() if line.strip()), None)
    if first is None:
        raise ValueError(f"{source} is empty; it needs a header line and one row per time step")
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=next((d for d in (",", ";", "\t") if d in first), ","), strict=True
    )
    rows: list[tuple[int, list[str]]] = []
    try:
        for row in reader:
            if rows or any(cell.strip() for cell in row):
                rows.append((reader.line_num, row or [""]))  # a blank line is one empty cell
    except csv.Error as error:
        raise ValueError(f"{source}, line {reader.line_num}: {error}; close every quote that is opened") from None
    while not any(cell.strip() for cell in rows[-1][1]):
        rows.pop()
    return rows


def _parse(text: str, source: str, column: str | None, date_column: str | None) -> Series:
    rows = _rows(text, source)
    header = [cell.strip() for cell in rows[0][1]]
    if len(rows) < 2:
        raise ValueError(
            f"{source} has one line, {','.join(header)!r}; it needs a header line and one row per time step"
        )
    if len(set(header)) < len(header):
        raise ValueError(f"{source} has columns {header}, some twice; give every column a name of its own")
    if date_column is not None:
        _find(header, date_column, "--date-column", source)
    place = _column(header, column, date_column, source)
    dates = _dates(header, date_column, place, source)
    values = [_number(row, place, header, number, source) for number, row in rows[1:]]
    labels = tuple(row[dates].strip() if dates is not None else str(k) for k, (_, row) in enumerate(rows[1:]))
    return Series(header[place], source, labels, np.array(values))


def _find(header: Sequence[str], name: str, flag: str, source: str) -> int:
    if name not in header:
        raise ValueError(f"{flag} is {name!r}, but {source} has columns {', '.join(header)}; {near(name, header)}")
    return header.index(name)


def _column(header: Sequence[str], column: str | None, date_column: str | None, source: str) -> int:
    if column is not None:
        return _find(header, column, "--column", source)
    rest = [k for k, name in enumerate(header) if name != date_column]
    if len(rest) == 1 or (len(header) == 2 and date_column is None):
        name = header[rest[-1]]
        if _is_number(name):
            raise ValueError(
                f"{source} starts with {','.join(header)!r}, which looks like data; put a header line above it, "
                f"or say --column {name} if that is the column's name"
            )
        return rest[-1]
    raise ValueError(f"{source} has columns {', '.join(header)}; say which one to forecast with --column")


def _dates(header: Sequence[str], date_column: str | None, column: int, source: str) -> int | None:
    if date_column is not None:
        place = header.index(date_column)
        if place == column:
            raise ValueError(f"--date-column and --column both name {date_column!r}; name two different columns")
        return place
    return next((k for k in range(len(header)) if k != column), None)


def _number(row: Sequence[str], place: int, header: Sequence[str], line: int, source: str) -> float:
    if len(row) != len(header):
        raise ValueError(
            f"{source}, line {line}: {len(row)} cells for {len(header)} columns; give every row one cell each"
        )
    cell = row[place].strip()
    if cell.lower() in _GAPS:
        return math.nan
    if not _is_number(cell):
        raise ValueError(
            f"{source}, line {line}, column {header[place]!r}: {cell!r} is no finite number; "
            "give a number, or leave the cell empty for a gap"
        )
    return float(cell)


def _is_number(cell: str) -> bool:
    """Tell whether a cell is a finite number; Python's own 1_000 is none in a CSV file."""
    try:
        return "_" not in cell and math.isfinite(float(cell))
    except ValueError:
        return False
