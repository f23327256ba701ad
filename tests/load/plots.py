"""Plots as inline SVG, drawn by hand: bars with a spread, stacked bars, lines. Pure text, no fonts, no scripts."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

WIDTH = 720
LABEL = 190
VALUE = 110
ROW = 26
HEIGHT = 260
COLOURS = ("#2f6db3", "#c8553d", "#4c956c", "#8a6fb0", "#b58a1b", "#5b6770")


class Bar(NamedTuple):
    """A value with its spread."""

    label: str
    median: float
    least: float
    most: float


def number(value: float) -> str:
    """A figure as short as it may be: three digits that count."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def bars(rows: Sequence[Bar], unit: str) -> str:
    """Horizontal bars of medians; a line from the least to the most."""
    most = max((row.most for row in rows), default=0) or 1
    scale = (WIDTH - LABEL - VALUE) / most
    parts = []
    for index, row in enumerate(rows):
        y = index * ROW
        middle = y + ROW / 2
        parts += [
            _label(row.label, middle),
            _rect(LABEL, y + 4, row.median * scale, ROW - 8, COLOURS[0]),
            f'<path d="M{LABEL + row.least * scale:.1f} {middle:.1f}H{LABEL + row.most * scale:.1f}" class="s"/>',
            _text(LABEL + row.most * scale + 6, middle, f"{number(row.median)} {unit}"),
        ]
    return _svg(len(rows) * ROW, parts)


def stacked(rows: Sequence[tuple[str, Mapping[str, float]]], unit: str) -> str:
    """Horizontal bars of parts, with a legend."""
    names = list(dict.fromkeys(name for _, values in rows for name in values))
    colours = {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(names)}
    most = max((sum(values.values()) for _, values in rows), default=0) or 1
    scale = (WIDTH - LABEL - VALUE) / most
    parts = []
    for index, (label, values) in enumerate(rows):
        y, x = index * ROW, float(LABEL)
        parts.append(_label(label, y + ROW / 2))
        for name, value in values.items():
            title = f"{label}, {name}: {number(value)} {unit}"
            parts.append(_rect(x, y + 4, value * scale, ROW - 8, colours[name], title))
            x += value * scale
        parts.append(_text(x + 6, y + ROW / 2, f"{number(sum(values.values()))} {unit}"))
    return _svg(len(rows) * ROW + ROW, [*parts, *_legend(colours, len(rows) * ROW + ROW / 2)])


def lines(series: Mapping[str, Sequence[tuple[float, float]]], x_name: str, y_name: str, *, log: bool = False) -> str:
    """Lines through points.

    Args:
        series: points by name, in the order of x.
        x_name: what x is, with its unit.
        y_name: what y is, with its unit.
        log: both axes by powers of ten; points at or below zero are left out.
    """
    kept = {
        name: [(x, y) for x, y in points if not log or (x > 0 and y > 0)] for name, points in series.items() if points
    }
    every = [point for points in kept.values() for point in points]
    if not every:
        return ""
    across = _Axis([x for x, _ in every], LABEL / 2, WIDTH - 20, log)
    up = _Axis([y for _, y in every], HEIGHT - 50, 24, log)
    parts = []
    for value in up.ticks():
        at = up.at(value)
        parts += [
            f'<path d="M{LABEL / 2} {at:.1f}H{WIDTH - 20}" class="g"/>',
            _text(LABEL / 2 - 6, at, number(value), "e"),
        ]
    for value in across.ticks():
        parts.append(_text(across.at(value), HEIGHT - 38, number(value), "m"))
    parts += [_text(WIDTH / 2, HEIGHT - 22, x_name, "m"), _text(LABEL / 2, 6, y_name)]
    colours = {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(kept)}
    for name, points in kept.items():
        way = " ".join(f"{across.at(x):.1f},{up.at(y):.1f}" for x, y in points)
        parts.append(f'<polyline points="{way}" fill="none" stroke="{colours[name]}" stroke-width="2"/>')
        if len(points) < 20:
            for x, y in points:
                title = escape(f"{name}: {number(x)}, {number(y)}")
                circle = f'<circle cx="{across.at(x):.1f}" cy="{up.at(y):.1f}" r="3.5" fill="{colours[name]}">'
                parts.append(f"{circle}<title>{title}</title></circle>")
    return _svg(HEIGHT, [*parts, *_legend(colours, HEIGHT - 6)])


class _Axis:
    """Where a value lies."""

    def __init__(self, values: Sequence[float], from_: float, to: float, log: bool) -> None:
        self._log, self._from, self._to = log, from_, to
        if log:
            self._least, self._most = (
                10.0 ** math.floor(math.log10(min(values))),
                10.0 ** math.ceil(math.log10(max(values))),
            )
            if self._least == self._most:
                self._most *= 10
        else:
            self._least, self._most = min(0.0, *values), max(values) or 1.0

    def at(self, value: float) -> float:
        """In the picture."""
        if self._log:
            share = math.log10(value / self._least) / math.log10(self._most / self._least)
        else:
            share = (value - self._least) / (self._most - self._least)
        return self._from + share * (self._to - self._from)

    def ticks(self) -> list[float]:
        """Round values on the way."""
        if self._log:
            powers = round(math.log10(self._most / self._least))
            return [self._least * 10**power for power in range(powers + 1)]
        step = 10.0 ** math.floor(math.log10(self._most - self._least))
        step = next(
            step * part for part in (0.1, 0.2, 0.5, 1.0, 2.0) if (self._most - self._least) / (step * part) <= 6
        )
        first = math.ceil(self._least / step)
        return [step * index for index in range(first, math.floor(self._most / step) + 1)]


def _svg(height: float, parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 -12 {WIDTH} {height + 24:.0f}" role="img">{"".join(parts)}</svg>'


def _text(x: float, y: float, text: str, anchor: str = "") -> str:
    kind = f' class="{anchor}"' if anchor else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" dy=".35em"{kind}>{escape(text)}</text>'


def _label(text: str, y: float) -> str:
    return _text(LABEL - 8, y, text, "e")


def _rect(x: float, y: float, width: float, height: float, colour: str, title: str = "") -> str:
    inner = f"<title>{escape(title)}</title>" if title else ""
    size = f'x="{x:.1f}" y="{y:.1f}" width="{max(0.0, width):.1f}" height="{height:.1f}"'
    return f'<rect {size} fill="{colour}">{inner}</rect>'


def _legend(colours: Mapping[str, str], y: float) -> list[str]:
    parts, x = [], LABEL / 2
    for name, colour in colours.items():
        parts += [_rect(x, y - 5, 10, 10, colour), _text(x + 14, y, name)]
        x += 30 + 7 * len(name)
    return parts
