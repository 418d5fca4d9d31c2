"""Which version of which component a device gets."""

from __future__ import annotations

import pytest

from edgehost.recipe import Dependency, Recipe
from edgehost.resolution import Known, ResolutionError, resolve


def known(*written: str, refused: tuple[str, ...] = ()) -> Known:
    """Recipes written ``a=1.0.0 b>=1.0.0 c<2``: a version, then what it depends on."""
    return Known([_recipe(*text.split()) for text in written], "in DIR", refused)


def _recipe(title: str, *dependencies: str) -> Recipe:
    name, version = title.split("=")
    needs = {text[0]: Dependency("HARD", text[1:] or "*") for text in dependencies}
    return Recipe(name, version, dependencies=needs)


def versions(roots: dict[str, str], recipes: Known, running: dict[str, str] | None = None) -> list[str]:
    resolved = resolve(roots, recipes, running or {}, {"aws.greengrass.Nucleus": "2.14.0"})
    return [f"{name}={recipe.version}" for name, recipe in resolved.items()]


@pytest.mark.parametrize(
    ("roots", "recipes", "running", "expected"),
    [
        ({"a": "1.0.0"}, ["a=1.0.0", "a=2.0.0"], {}, ["a=1.0.0"]),
        ({"a": "^1.0.0"}, ["a=1.0.0", "a=1.9.0", "a=2.0.0"], {}, ["a=1.9.0"]),
        ({"a": "1.0.0"}, ["a=1.0.0 b", "b=1.0.0", "b=1.10.0", "b=1.9.0"], {}, ["b=1.10.0", "a=1.0.0"]),
        ({"a": "1.0.0"}, ["a=1.0.0 b", "b=1.0.0", "b=2.0.0"], {"b": "1.0.0"}, ["b=1.0.0", "a=1.0.0"]),
        ({"a": "1.0.0"}, ["a=1.0.0 b>=2", "b=1.0.0", "b=2.0.0"], {"b": "1.0.0"}, ["b=2.0.0", "a=1.0.0"]),
        (
            {"a": "1.0.0"},
            ["a=1.0.0 b c<2", "b=1.0.0 c", "c=1.0.0", "c=2.0.0"],
            {},
            ["c=1.0.0", "b=1.0.0", "a=1.0.0"],
        ),
        # b 2.0.0 would need a c that a can't live with; b is held at 1.0.0 by c, and nobody needs d any more
        (
            {"a": "1.0.0", "b": "*"},
            ["a=1.0.0 b<2", "b=1.0.0", "b=2.0.0 d", "d=1.0.0"],
            {},
            ["b=1.0.0", "a=1.0.0"],
        ),
        ({"a": "1.0.0-beta"}, ["a=1.0.0-beta"], {}, ["a=1.0.0-beta"]),
        ({"a": "*"}, ["a=1.0.0", "a=2.0.0-beta"], {}, ["a=1.0.0"]),
        ({"a": "01.0.0"}, ["a=01.0.0"], {}, ["a=01.0.0"]),
        ({}, ["a=1.0.0"], {"a": "1.0.0"}, []),
    ],
)
def test_versions_satisfy_everyone(roots, recipes, running, expected) -> None:
    """The highest that do, but what runs is kept where it does; dependencies first."""
    assert versions(roots, known(*recipes), running) == expected


@pytest.mark.parametrize(
    ("roots", "recipes", "words"),
    [
        ({"a": "1.0.0"}, [], r"no recipe of a 1\.0\.0 in DIR$"),
        (
            {"a": "3.0.0"},
            ["a=1.0.0", "a=2.0.0"],
            r"no recipe of a 3\.0\.0 in DIR; there are 1\.0\.0, 2\.0\.0",
        ),
        (
            {"a": "1.0.0"},
            ["a=1.0.0 b>=2"],
            r"a 1\.0\.0 depends on b >=2, of which there is no recipe in DIR; put one",
        ),
        (
            {"a": "1.0.0", "c": "1.0.0"},
            ["a=1.0.0 b>=2", "c=1.0.0 b<2", "b=1.0.0", "b=2.0.0"],
            r"no version of b satisfies everyone: a 1\.0\.0 requires >=2, c 1\.0\.0 requires <2; there are 1\.0",
        ),
        (
            {"a": "1.0.0", "b": "2.0.0"},
            ["a=1.0.0 b<2", "b=1.0.0", "b=2.0.0"],
            r"no version of b satisfies everyone: a 1\.0\.0 requires <2, the deployment requires 2\.0\.0",
        ),
        ({"a": "1.0.0"}, ["a=1.0.0 b", "b=1.0.0 c", "c=1.0.0 a"], r"dependencies go in a circle: .*b"),
        ({"a": "1.0.0"}, ["a=1.0.0 a"], r"dependencies go in a circle: a -> a"),
        ({"a": "one"}, ["a=1.0.0"], r"the deployment requires 'one', which is no version requirement"),
        (
            {"a": "1.0.0"},
            ["a=1.0.0 b>~2", "b=1.0.0"],
            r"a 1\.0\.0 requires '>~2', which is no version requirement",
        ),
    ],
)
def test_impossible_choice_names_who_requires_what(roots, recipes, words) -> None:
    """Unknown, without such a version, in conflict, in a circle, not readable: each is its own error."""
    with pytest.raises(ResolutionError, match=words):
        versions(roots, known(*recipes))


def test_refused_recipes_are_told_where_one_is_missing() -> None:
    """It may be the one that was meant."""
    with pytest.raises(ResolutionError, match=r"; refused: a\.yaml can't be parsed"):
        versions({"a": "1.0.0"}, known(refused=("a.yaml can't be parsed",)))


def test_what_the_nucleus_brings_along_needs_no_recipe() -> None:
    """Its version must do all the same."""
    nucleus = {"aws.greengrass.Nucleus": Dependency("SOFT", "^2.0.0")}
    recipe = Recipe("a", "1.0.0", dependencies=nucleus)
    assert versions({"a": "1.0.0"}, Known([recipe], "in DIR")) == ["a=1.0.0"]
    recipe = Recipe("a", "1.0.0", dependencies={"aws.greengrass.Nucleus": Dependency("SOFT", "^3.0.0")})
    with pytest.raises(
        ResolutionError, match=r"a 1\.0\.0 requires aws\.greengrass\.Nucleus \^3\.0\.0.* has 2\.14"
    ):
        versions({"a": "1.0.0"}, Known([recipe], "in DIR"))


def test_choice_that_never_comes_to_rest_is_an_error() -> None:
    """a 2.0.0 wants an old b, which wants an old a, which wants a new b: no round is like the one before."""
    recipes = known("a=1.0.0", "a=2.0.0 b", "b=1.0.0 a<2")
    with pytest.raises(ResolutionError, match="no choice of versions"):
        versions({"a": "*"}, recipes)
