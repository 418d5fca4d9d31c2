"""The report: one page that needs no other file, and shows what went wrong first."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bright_detector import THRESHOLDS, write_model, write_package
from bright_tags import DENT, FAINT, MAP50, STRONG, TAGS, Tag, write_tags
from inspector.core.package import Thresholds
from modelkit.__main__ import main
from modelkit.labels import read_csv
from modelkit.markup import Markup, element
from modelkit.plot import Axis, Plot
from modelkit.predictions import Predictions
from modelkit.trial import try_package
from modelkit.worst import worst

VOID = {"meta"}


class Page(HTMLParser):
    """What is in a page; refuses one whose elements are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for each, attributes in self.tags if each == tag]


def report(root: Path, gains: dict, tags=TAGS) -> str:
    """Of the seven pictures, or others."""
    labels, images = write_tags(root / "tags", tags.items())
    package, page = write_package(root / "package", gains), root / "report.html"
    arguments = ["--labels", labels, "--images", images, "--report", page, "--resamples", 20]
    assert main(["evaluate", "--package", str(package), *map(str, arguments)]) == 0
    return page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    return report(tmp_path_factory.mktemp("report"), {"fp32": 1.0, "int8": 0.3})


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_it_needs_no_other_file(page: Page, text: str) -> None:
    """Pictures and style are in it; it loads nothing and runs nothing."""
    assert not page.of("script") + page.of("link") + page.of("img") + page.of("iframe")
    assert all((image["href"] or "").startswith("data:image/jpeg;base64,") for image in page.of("image"))
    assert not re.search(r"https?:|url\(|@import", text)


def test_it_says_what_was_judged_and_how_well(page: Page) -> None:
    words = " ".join(page.words)
    assert "bright 1.0.0" in words
    assert "7 pictures of 3 parts, 4 of them defective; classes: dent, rust" in words
    assert f"{MAP50:.3f}" in words
    assert "1 of 4: 25.0%" in words
    assert "3 pictures that one precision fails and the other passes" in words


def test_its_charts_say_what_they_show(page: Page) -> None:
    """Two trade-offs, reliability, and a histogram of each precision."""
    labels = [each["aria-label"] or "" for each in page.of("svg")]
    charts = [label for label in labels if ".png" not in label]
    assert [label.split(".")[0] for label in charts] == [
        "What is reviewed, so that less escapes",
        "What fails, and what is left to review",
        "Whether confidence means what it says",
        "Detections by confidence",
        "Detections by confidence",
    ]


def test_the_same_trial_gives_the_same_page(text: str, tmp_path: Path) -> None:
    assert report(tmp_path, {"fp32": 1.0, "int8": 0.3}) == text


def test_names_are_escaped(tmp_path: Path) -> None:
    """A picture may be called anything that a file can be."""
    page = report(tmp_path, {"fp32": 1.0}, {"<b>&.png": TAGS["escaped.png"], "good.png": TAGS["good.png"]})
    assert "&lt;b&gt;&amp;.png" in page
    assert "<b>&.png" not in page
    assert "<b>&.png" in Page(page).words


def test_a_page_without_anything_to_show(tmp_path: Path) -> None:
    """Neither defect, nor detection, nor error."""
    words = Page(report(tmp_path, {"fp32": 1.0}, {"good.png": TAGS["good.png"]})).words
    assert words.count("none") == 5


def predictions(root: Path, tags: dict[str, Tag] = TAGS) -> Predictions:
    labels, images = write_tags(root, tags.items())
    model = write_model(root / "model.onnx")
    return try_package(model, read_csv(labels, images), images, lambda: None).predictions


def kinds(found) -> dict[str, list[str]]:
    return {kind: [error.picture.image for error in errors] for kind, errors in found.items() if errors}


def test_the_worst_errors_are_told_apart(tmp_path: Path) -> None:
    """Each picture once, by the worst that can be said of it."""
    found = worst(predictions(tmp_path), THRESHOLDS)
    assert kinds(found) == {"escape": ["escaped.png"], "overkill": ["overkill.png"]}


def test_what_is_wrong_with_parts_that_fail_rightly(tmp_path: Path) -> None:
    """For detections that match no label, alone or beside one that does; and where a label is not matched."""
    here, there = (1, 1, DENT), (5, 5, DENT)
    tags = {
        "beside.png": Tag("A", (here,), ((*here, STRONG), (*there, STRONG))),
        "elsewhere.png": Tag("A", (here,), ((*there, STRONG),)),
        "half.png": Tag("A", (here, there), ((*here, STRONG),)),
        "whole.png": Tag("A", (here,), ((*here, STRONG), (*there, FAINT))),
    }
    assert kinds(worst(predictions(tmp_path, tags), THRESHOLDS)) == {
        "elsewhere": ["elsewhere.png"],
        "false": ["beside.png"],
        "missed": ["half.png"],
    }


def test_the_worst_come_first(tmp_path: Path) -> None:
    """An escape is the worse the less was seen of it, overkill the worse the surer it was."""
    content = predictions(tmp_path)
    strict = worst(content, Thresholds(confidence=0.9, low_confidence=0.9))
    assert kinds(strict) == {"escape": ["escaped.png", "unsure.png", "found.png", "rusty.png"]}
    lax = worst(content, Thresholds(confidence=0.3, low_confidence=0.1))
    assert kinds(lax) == {"overkill": ["overkill.png", "doubtful.png"]}


def test_markup_escapes_text_and_attributes() -> None:
    made = element("p", "<&", Markup("<i></i>"), title='"<', class_="a", text_anchor="end", x=1.0, y=2.345)
    expected = '<p title="&quot;&lt;" class="a" text-anchor="end" x="1" y="2.35">&lt;&amp;<i></i></p>'
    assert made in (expected, expected.replace("2.35", "2.34"))


def test_a_plot_puts_values_where_its_axes_say() -> None:
    """The ends of both axes are the corners of the plane; up is more."""
    plot = Plot(Axis("x", 0, 2, (0, 2)), Axis("y", 0, 10, (0, 10)))
    plot.line([(0, 0), (1, 5), (2, 10)], "style")
    (line,) = Page(plot.svg("a line")).of("polyline")
    (x0, y0), (x1, y1), (x2, y2) = (
        tuple(map(float, point.split(","))) for point in (line["points"] or "").split()
    )
    assert (x1, y1) == pytest.approx(((x0 + x2) / 2, (y0 + y2) / 2))
    assert x0 < x2
    assert y0 > y2
