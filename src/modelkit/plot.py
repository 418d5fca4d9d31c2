"""Lines and bars over two axes -> SVG; its colours are the page's, by class."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from modelkit.markup import Markup, element, join

_WIDTH, _HEIGHT = 460.0, 300.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 58.0, 12.0, 12.0, 44.0


@dataclass(frozen=True, slots=True)
class Axis:
    """From ``low`` to ``high``, with what is written at each of ``ticks``."""

    title: str
    low: float
    high: float
    ticks: Sequence[float]
    text: Callable[[float], str] = "{:g}".format

    def share(self, value: float) -> float:
        """How far along it is, 0..1."""
        return (value - self.low) / (self.high - self.low)


@dataclass(slots=True)
class Plot:
    """What is drawn, in the order in which it is added. Values are those of the axes."""

    x: Axis
    y: Axis
    drawn: list[Markup] = field(default_factory=list)

    def line(self, points: Iterable[tuple[float, float]], style: str) -> None:
        """Straight from point to point."""
        path = " ".join(f"{self._x(x):.2f},{self._y(y):.2f}" for x, y in points)
        self.drawn.append(element("polyline", points=path, class_=f"line {style}"))

    def dot(self, x: float, y: float, radius_px: float, style: str, title: str) -> None:
        """A dot that says ``title`` to who points at it."""
        told = element("title", title)
        self.drawn.append(
            element("circle", told, cx=self._x(x), cy=self._y(y), r=radius_px, class_=f"dot {style}")
        )

    def bar(self, left: float, right: float, low: float, high: float, style: str, title: str) -> None:
        """A bar, a pixel narrower than its place."""
        x, y = self._x(left) + 0.5, self._y(high)
        size = {"width": self._x(right) - 0.5 - x, "height": self._y(low) - y}
        self.drawn.append(element("rect", element("title", title), x=x, y=y, **size, class_=f"bar {style}"))

    def rule(self, x: float, text: str, row: int = 0) -> None:
        """A vertical line, and what it stands for, so many rows of text below the top."""
        at = self._x(x)
        self.drawn.append(element("line", x1=at, x2=at, y1=_TOP, y2=_HEIGHT - _BOTTOM, class_="rule"))
        side = {"x": at - 5, "text_anchor": "end"} if self.x.share(x) > 0.6 else {"x": at + 5}
        self.drawn.append(element("text", text, y=_TOP + 10 + 16 * row, class_="note", **side))

    def svg(self, label: str) -> Markup:
        """The picture; ``label`` is what it says to who cannot see it."""
        return element(
            "svg",
            *self._axes(),
            *self.drawn,
            viewBox=f"0 0 {_WIDTH:g} {_HEIGHT:g}",
            role="img",
            aria_label=label,
        )

    def _axes(self) -> Iterable[Markup]:
        bottom, middle = _HEIGHT - _BOTTOM, (_HEIGHT - _BOTTOM + _TOP) / 2
        for tick in self.y.ticks:
            y = self._y(tick)
            yield element("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y, class_="grid")
            yield element("text", self.y.text(tick), x=_LEFT - 7, y=y + 4, text_anchor="end", class_="tick")
        for tick in self.x.ticks:
            yield element(
                "text", self.x.text(tick), x=self._x(tick), y=bottom + 17, text_anchor="middle", class_="tick"
            )
        yield element("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=bottom, y2=bottom, class_="axis")
        centre = (_LEFT + _WIDTH - _RIGHT) / 2
        yield element("text", self.x.title, x=centre, y=_HEIGHT - 6, text_anchor="middle", class_="title")
        turned = f"rotate(-90 12 {middle:g})"
        yield element(
            "text", self.y.title, x=12, y=middle, text_anchor="middle", transform=turned, class_="title"
        )

    def _x(self, value: float) -> float:
        return _LEFT + self.x.share(value) * (_WIDTH - _LEFT - _RIGHT)

    def _y(self, value: float) -> float:
        return _HEIGHT - _BOTTOM - self.y.share(value) * (_HEIGHT - _TOP - _BOTTOM)


def legend(*entries: tuple[str, str]) -> Markup:
    """What each style stands for: style, words."""
    return element("p", *(_entry(style, words) for style, words in entries), class_="legend")


def _entry(style: str, words: str) -> Markup:
    return element("span", join(element("i", class_=f"swatch {style}"), words))
