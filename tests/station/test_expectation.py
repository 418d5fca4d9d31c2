"""When watching is over."""

import pytest

from station.expectation import Expectation, expected_names
from station_samples import arrived, result


def meet(expectation: Expectation, *paths: str) -> Expectation:
    for seq, path in enumerate(paths, start=1):
        expectation.meet(arrived(result(seq, path)).message)
    return expectation


def test_without_names_or_number_it_is_never_over():
    assert not meet(Expectation(), "a.jpg").met
    assert Expectation().missing() == []


def test_it_is_over_when_the_last_name_arrived():
    expectation = meet(Expectation(frozenset({"a.jpg", "b.jpg"})), "a.jpg")
    assert (expectation.met, expectation.missing()) == (False, ["b.jpg"])
    assert meet(expectation, "other.jpg", "b.jpg").met


@pytest.mark.parametrize(
    ("name", "path", "met"),
    [
        ("a.jpg", "line/top/a.jpg", True),
        ("top/a.jpg", "line/top/a.jpg", True),
        ("top/a.jpg", "line/side/a.jpg", False),
        ("a.jpg", "line/aa.jpg", False),
    ],
)
def test_a_name_is_met_by_a_path_that_ends_in_it(name, path, met):
    assert meet(Expectation(frozenset({name})), path).met is met


def test_a_number_counts_results():
    expectation = meet(Expectation(count=2), "a.jpg")
    assert (expectation.met, expectation.missing()) == (False, ["1 more"])
    assert meet(expectation, "b.jpg").met


def test_a_directory_names_its_images_and_nothing_else(tmp_path):
    (tmp_path / "top").mkdir()
    (tmp_path / "directory.jpg").mkdir()
    for name in ("a.jpg", "top/B.PNG", "labels.csv", ".hidden.jpg", "a.jpg.part"):
        (tmp_path / name).touch()
    assert expected_names(tmp_path) == {"a.jpg", "top/B.PNG"}


def test_a_file_names_one_image_a_line(tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("a b.jpg\n\n top/c.jpg \n")
    assert expected_names(names) == {"a b.jpg", "top/c.jpg"}


def test_nothing_to_wait_for_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="names no image"):
        expected_names(tmp_path)
