"""Elements of HTML and SVG, their text escaped."""

from __future__ import annotations

from html import escape


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def element(name: str, *children: str, **attributes: object) -> Markup:
    """An element. ``class_`` is its class, and ``_`` within a name stands for ``-``; floats have two decimals."""
    pairs = "".join(f' {_name(key)}="{escape(_value(value))}"' for key, value in attributes.items())
    return Markup(f"<{name}{pairs}>{join(*children)}</{name}>")


def join(*children: str) -> Markup:
    """One after the other; what is not markup is escaped."""
    return Markup("".join(each if isinstance(each, Markup) else escape(each) for each in children))


def _name(key: str) -> str:
    return key.removesuffix("_").replace("_", "-")


def _value(value: object) -> str:
    return f"{value:.2f}".removesuffix(".00") if isinstance(value, float) else str(value)
