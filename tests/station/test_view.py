"""Events -> what stands on the terminal, or in a file."""

import io
import json
import re

import pytest
from rich.console import Console

from inspector.core.message import DetectionInfo, Latency
from station.event import Heard, Notice, Row
from station.expectation import Expectation
from station.tally import Tally
from station.view import View, console, printable
from station_samples import SCRATCH, arrived, fail, result, status


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def row(message) -> Row:
    received = arrived(message)
    return Row(received.message, received.line)


def shown(*messages, stream=None, **options) -> str:
    stream = stream or io.StringIO()
    view = View(console(stream, no_color=False), **options)
    for message in messages:
        view.show(row(message))
    return stream.getvalue()


def test_a_row_tells_what_became_of_an_image():
    header, line = shown(
        fail(latency_ms=Latency(decode=1.0, inference=7.26), kept=("uncertain",))
    ).splitlines()
    assert header.split() == ["time", "image", "verdict", "defects", "latency", "kept"]
    assert line.split()[1:] == ["top/tag-2.jpg", "fail", "scratch", "0.91", "8.3", "ms", "uncertain"]


def test_a_pass_has_dashes_and_an_uninspected_image_its_reason():
    unread = result(2, verdict="review", reasons=("unreadable",), latency_ms=Latency())
    _, passed, review = shown(result(1), unread).splitlines()
    assert passed.split()[2:] == ["pass", "-", "9.0", "ms", "-"]
    assert review.split()[2:] == ["review", "unreadable", "-", "-"]


def test_defects_that_the_message_had_no_room_for_are_counted():
    weak = DetectionInfo(class_id=1, label="dent", confidence=0.5, left=0, top=0, width=1, height=1)
    assert "scratch 0.91, dent 0.50 and 4 more" in shown(fail(detections=(SCRATCH, weak), detections_total=6))


def test_the_thing_is_shown_where_several_are_watched():
    assert "line-3" in shown(result(), with_thing=True)
    assert "line-3" not in shown(result())


def test_a_file_gets_whole_names_and_no_escapes():
    name = "top/" + "long" * 40 + ".jpg"
    text = shown(result(path=name), fail(2))
    assert name in text
    assert "\x1b" not in text


def test_a_terminal_gets_colours_and_rows_of_its_width(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    name = "top/" + "long" * 40 + ".jpg"
    text = shown(result(path=name), stream=Terminal())
    assert "\x1b[32mpass" in text
    assert name not in text
    assert max(len(re.sub(r"\x1b\[[\d;]*m", "", line)) for line in text.splitlines()) <= 80


def test_no_color_means_not_one_colour_code(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = Terminal()
    view = View(console(stream, no_color=True))
    view.show(row(fail()))
    view.show(Notice("alarm", "loud"))
    view.end(Tally().summary(), ["a.jpg"])
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize("name", ["a\x1b[2Jb.jpg", "a\nb.jpg", "a\rb.jpg", "a\x9b5mb.jpg", "a\u202eb.jpg"])
def test_a_name_cannot_steer_the_terminal(name):
    text = shown(result(path=name))
    assert len(text.splitlines()) == 2
    assert text.isprintable() or set(filter(lambda c: not c.isprintable(), text)) == {"\n"}
    assert printable(name) in text


def test_markup_in_a_name_is_a_name():
    assert "[red]a[/red].jpg" in shown(result(path="[red]a[/red].jpg"))


def test_raw_gets_the_messages_and_nothing_else():
    stream, raw = io.StringIO(), io.StringIO()
    view = View(console(stream, no_color=False), raw=raw)
    heard = arrived(status())
    view.show(row(result()))
    view.show(Heard(heard.message, heard.line))
    view.show(Notice("warning", "a gap"))
    view.end(Tally().summary(), [])
    assert [json.loads(line)["schema"][-8:] for line in raw.getvalue().splitlines()] == [
        "result/1",
        "status/1",
    ]
    assert "warning: a gap" in stream.getvalue()


def test_the_same_news_of_the_connection_is_told_once():
    stream = io.StringIO()
    view = View(console(stream, no_color=False))
    for text in ("away", "away", "back", "away"):
        view.link(text, lost=text == "away")
    assert stream.getvalue().splitlines() == ["warning: away", "back", "warning: away"]


def test_the_end_tells_figures_what_is_missing_and_where_to_look():
    tally, stream = Tally(), io.StringIO()
    for message in (result(1), fail(2, kept=("audit",)), fail(5), fail(5), result(5, id="other")):
        tally.receive(arrived(message))
    tally.refuse("t", "no JSON")
    View(console(stream, no_color=False)).end(tally.summary(), ["b.jpg", "c.jpg"], ["where to look: there"])
    text = stream.getvalue()
    for line in (
        "3 images: 1 pass, 2 fail, 0 review",
        "kept for relabelling: 1",
        "latency: p50 9.0 ms, p99 9.0 ms",
        "sent again and recognised: 1",
        "not received: seq 3-4 of line-3",
        "contradictions (one identity, two contents): 1",
        "malformed messages: 1",
        "missing: b.jpg, c.jpg",
        "where to look: there",
    ):
        assert line in text


def test_on_a_terminal_a_line_below_the_rows_says_how_things_stand():
    stream = Terminal()
    with View(Console(file=stream, force_terminal=True, width=100, color_system=None)) as view:
        view.progress({"pass": 2, "fail": 1, "review": 0}, Expectation(count=16))
    assert "3 of 16 images" in stream.getvalue()
