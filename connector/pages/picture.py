"""A picture of coverage: for each stream partition a row of bands over a time range. Pure: instants in, values out.

Instants are microseconds since 1970. How a picture looks is in `templates/picture.html`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import groupby
from typing import Protocol

from connector.events.times import US_PER_S
from connector.pages.words import instant

_MOST_GAPS = 24
_CELLS = 48
"""With more gaps, a row shows the gravest in each of this many equal parts of the range."""
_MOST_TICKS = 5
_STEPS_S = (60, 300, 900, 1_800, 3_600, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800, 2_592_000, 31_536_000)
_DAY_S = 86_400
_LEAST_SHARE, _EDGE_SHARE = 0.4, 4.0


class BandKind(StrEnum):
    """What is known of a part of the range, the gravest first: where kinds overlap, the gravest is drawn."""

    LOST = "lost"
    SUSPECTED = "suspected"
    NOT_YET = "not-yet"
    UNKNOWN = "unknown"
    RECONCILED = "reconciled"
    WITHDRAWN = "withdrawn"
    COVERED = "covered"


WORDS = {
    BandKind.COVERED: "complete",
    BandKind.LOST: "gap: X's streams can no longer deliver these events",
    BandKind.SUSPECTED: "gap suspected: events may be missing",
    BandKind.RECONCILED: "gap recovered by batch runs, fully or partly",
    BandKind.WITHDRAWN: "gap withdrawn (recorded in error)",
    BandKind.NOT_YET: "not covered yet",
    BandKind.UNKNOWN: "no record of coverage",
}
"""The meaning of each kind, in the order of a legend."""

_OF_STATE = {
    "lost": BandKind.LOST,
    "suspected": BandKind.SUSPECTED,
    "partly-reconciled": BandKind.RECONCILED,
    "reconciled": BandKind.RECONCILED,
    "withdrawn": BandKind.WITHDRAWN,
}
_OF_GAPS = frozenset(_OF_STATE.values())
_GRAVITY = {kind: rank for rank, kind in enumerate(BandKind)}


@dataclass(frozen=True, slots=True)
class Band:
    """A part of a row, from `start_us` up to `end_us`, and its text."""

    start_us: int
    end_us: int
    kind: BandKind
    text: str


class DrawnGap(Protocol):
    """A gap to draw; an unknown state counts as the gravest."""

    @property
    def start_us(self) -> int:
        """Its start, included."""

    @property
    def end_us(self) -> int:
        """Its end, excluded."""

    @property
    def state(self) -> str:
        """What it means, a word of an open set."""

    @property
    def cause(self) -> str:
        """Why it is there."""


@dataclass(frozen=True, slots=True)
class Row:
    """The bands of one stream partition, which fill the range."""

    label: str
    bands: tuple[Band, ...]


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on the time axis, its position in percent of the width."""

    share: float
    text: str


@dataclass(frozen=True, slots=True)
class Picture:
    """Rows over a time range, with the title of the picture."""

    title: str
    start_us: int
    end_us: int
    rows: tuple[Row, ...]

    @property
    def ticks(self) -> tuple[Tick, ...]:
        """The marks on the time axis."""
        return tuple(_ticks(self.start_us, self.end_us))

    @property
    def words(self) -> str:
        """Its content in words, for screen readers."""
        return " ".join(f"{row.label}: {_summary(row.bands)}." for row in self.rows)

    def place(self, band: Band) -> tuple[float, float]:
        """Return the start and width of a band, in percent of the width; every gap is wide enough to be seen."""
        start = _share(band.start_us, self.start_us, self.end_us)
        least = _LEAST_SHARE if band.kind in _OF_GAPS else 0
        width = max(least, _share(band.end_us, self.start_us, self.end_us) - start)
        return round(min(start, 100 - width), 3), round(width, 3)


def make_bands(
    start_us: int, end_us: int, covered_from_us: int | None, complete_until_us: int | None, gaps: Iterable[DrawnGap]
) -> tuple[Band, ...]:
    """Return bands that fill the range without overlap, in the order of time.

    Time before `covered_from_us` is unknown, and time after `complete_until_us` not complete yet; both are None if
    nothing is known. Gaps may overlap each other and the edges of the range.
    """
    ground = list(_ground(start_us, end_us, covered_from_us, complete_until_us))
    pieces = [
        (gap.start_us, gap.end_us, _OF_STATE.get(gap.state, BandKind.LOST), f"{gap.state}, {gap.cause}")
        for gap in gaps
        if gap.start_us < end_us and gap.end_us > start_us
    ]
    make = _flattened if len(pieces) <= _MOST_GAPS else _coarse
    return tuple(make([*ground, *pieces], start_us, end_us))


_Piece = tuple[int, int, BandKind, str]


def _ground(start_us: int, end_us: int, covered_from_us: int | None, complete_until_us: int | None) -> Iterator[_Piece]:
    """Yield the bands below the gaps."""
    if covered_from_us is None or complete_until_us is None:
        yield start_us, end_us, BandKind.UNKNOWN, "unknown"
        return
    begin_us = min(covered_from_us, complete_until_us)
    yield start_us, begin_us, BandKind.UNKNOWN, WORDS[BandKind.UNKNOWN]
    yield begin_us, complete_until_us, BandKind.COVERED, WORDS[BandKind.COVERED]
    yield complete_until_us, max(end_us, complete_until_us), BandKind.NOT_YET, WORDS[BandKind.NOT_YET]


def _flattened(pieces: Iterable[_Piece], start_us: int, end_us: int) -> Iterator[Band]:
    """Yield bands where each instant has the gravest kind of all pieces over it."""
    changes: list[tuple[int, int, tuple[int, BandKind, str]]] = []
    for piece_start, piece_end, kind, text in pieces:
        first, last = max(piece_start, start_us), min(piece_end, end_us)
        if first < last:
            changes += [(first, 1, (_GRAVITY[kind], kind, text)), (last, -1, (_GRAVITY[kind], kind, text))]
    changes.sort()
    active: Counter[tuple[int, BandKind, str]] = Counter()
    parts: list[tuple[int, BandKind, str]] = []
    for at_us, same in groupby(changes, key=lambda change: change[0]):
        for _, step, what in same:
            active[what] += step
            if not active[what]:
                del active[what]
        if active:
            kind = min(active)[1]
            text = "; ".join(sorted({text for _, its_kind, text in active if its_kind is kind}))
            if not parts or parts[-1][1:] != (kind, text):
                parts.append((at_us, kind, text))
    ends = [start for start, _, _ in parts[1:]] + [end_us]
    for (start, kind, text), end in zip(parts, ends, strict=True):
        yield _band(start, end, kind, text)


def _coarse(pieces: Iterable[_Piece], start_us: int, end_us: int) -> Iterator[Band]:
    """Yield the gravest kind in each of `_CELLS` parts of the range, with equal neighbours merged."""
    length_us = end_us - start_us
    kinds = [BandKind.COVERED] * _CELLS
    for piece_start, piece_end, kind, _ in pieces:
        first, last = max(piece_start, start_us) - start_us, min(piece_end, end_us) - start_us
        for cell in range(first * _CELLS // length_us, -(-last * _CELLS // length_us)):
            if _GRAVITY[kind] < _GRAVITY[kinds[cell]]:
                kinds[cell] = kind
    for kind, cells in groupby(range(_CELLS), key=kinds.__getitem__):
        numbers = list(cells)
        begin_us, stop_us = (start_us + length_us * edge // _CELLS for edge in (numbers[0], numbers[-1] + 1))
        yield _band(begin_us, stop_us, kind, f"in places {WORDS[kind]}" if kind in _OF_STATE.values() else WORDS[kind])


def _band(start_us: int, end_us: int, kind: BandKind, text: str) -> Band:
    return Band(start_us, end_us, kind, f"{instant(start_us)} to {instant(end_us)}: {text}")


def _summary(bands: Sequence[Band]) -> str:
    """Return a row in one sentence: its kind if it has only one, else all that is not complete."""
    others = [band for band in bands if band.kind is not BandKind.COVERED]
    if not others:
        return "complete"
    if len(bands) == 1:
        return WORDS[bands[0].kind]
    return "; ".join(f"{band.kind} from {instant(band.start_us)} to {instant(band.end_us)}" for band in others)


def _share(at_us: int, start_us: int, end_us: int) -> float:
    return 100 * (at_us - start_us) / (end_us - start_us)


def _ticks(start_us: int, end_us: int) -> Iterator[Tick]:
    """Yield a few marks at round times in UTC: days by date, others by the time of day."""
    length_s = (end_us - start_us) / US_PER_S
    step_s = next((step for step in _STEPS_S if length_s / step <= _MOST_TICKS), _STEPS_S[-1])
    first_s = -(-start_us // (step_s * US_PER_S)) * step_s
    for at_s in range(first_s, end_us // US_PER_S + 1, step_s):
        share = _share(at_s * US_PER_S, start_us, end_us)
        if _EDGE_SHARE <= share <= 100 - _EDGE_SHARE:
            form = "%H:%M" if at_s % _DAY_S else "%d %b"
            yield Tick(round(share, 3), datetime.fromtimestamp(at_s, UTC).strftime(form))
