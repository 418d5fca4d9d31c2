"""Thresholds follow from the rule alone, for every precision, with the fewest pictures in review."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspector.core.package import Precision, Thresholds
from modelkit.labels import LabelledBox
from modelkit.predictions import SCHEMA, PredictedBox, Prediction, Predictions
from modelkit.thresholds import STEPS, Rule, ThresholdsError, choose, explain

Found = dict[Precision, list[tuple[float, bool]]]
"""Confidence of each detection, and whether it touches the labelled defect."""


def picture(number: int, found: Found, *, defective: bool = True) -> Prediction:
    return Prediction(
        image=f"{number}.jpg",
        part=f"part-{number}",
        width=450,
        height=300,
        is_unusual=False,
        labels=(LabelledBox(0, 100, 100, 50, 50),) if defective else (),
        detections={
            precision: tuple(
                PredictedBox(0, confidence, 149.0 if touches else 151.0, 100, 20, 20, is_true=False)
                for confidence, touches in sorted(detections, reverse=True)
            )
            for precision, detections in found.items()
        },
        fold=0,
    )


def predictions(*pictures: Prediction, precisions: tuple[Precision, ...] = ("fp32",)) -> Predictions:
    return Predictions(SCHEMA, ("scratch",), precisions, pictures)


def scratched(*confidences: float) -> Predictions:
    """Defective pictures, with one true detection each."""
    return predictions(*(picture(n, {"fp32": [(each, True)]}) for n, each in enumerate(confidences)))


def test_the_floor_is_the_highest_at_which_few_enough_escape() -> None:
    found = scratched(*[0.305] + [0.405] + [0.9] * 98)
    assert choose(found, Rule(margin=0, max_escapes=0)).low_confidence == 0.3
    assert choose(found, Rule(margin=0, max_escapes=0.01)).low_confidence == 0.4
    assert choose(found, Rule(margin=0, max_escapes=0.0199)).low_confidence == 0.4
    assert choose(found, Rule(margin=0, max_escapes=0.02)).low_confidence == 0.9


def test_a_detection_at_the_floor_is_no_escape() -> None:
    """As on the device, which compares 32-bit numbers."""
    assert choose(scratched(0.3), Rule(margin=0)).low_confidence == 0.3


def test_what_is_found_beside_the_defect_keeps_a_picture_from_escaping() -> None:
    """The part is not passed, for whichever reason."""
    found = predictions(picture(0, {"fp32": [(0.6, False)]}))
    assert choose(found, Rule(margin=0, max_false_alarms=1)).low_confidence == 0.6


def test_confidence_is_the_lowest_with_few_enough_false_alarms() -> None:
    alarms = [picture(n, {"fp32": [(0.9, True), (0.2 + n / 100, False)]}) for n in range(50)]
    found = predictions(*alarms)
    assert choose(found, Rule(margin=0, max_false_alarms=0, low_confidence=0.1)).confidence == 0.7
    assert choose(found, Rule(margin=0, max_false_alarms=0.1, low_confidence=0.1)).confidence == 0.65
    assert choose(found, Rule(margin=0, max_false_alarms=1, low_confidence=0.1)).confidence == 0.1


def test_whatever_is_found_in_a_good_picture_is_a_false_alarm() -> None:
    found = predictions(
        picture(0, {"fp32": [(0.5, True)]}), picture(1, {"fp32": [(0.8, True)]}, defective=False)
    )
    assert choose(found, Rule(margin=0, max_false_alarms=0)) == Thresholds(0.81, 0.5)


def test_both_precisions_satisfy_the_rule() -> None:
    pictures = [
        picture(0, {"fp32": [(0.5, True)], "int8": [(0.4, True)]}),
        picture(1, {"fp32": [(0.9, True), (0.3, False)], "int8": [(0.9, True), (0.6, False)]}),
    ]
    found = predictions(*pictures, precisions=("fp32", "int8"))
    assert choose(found, Rule(margin=0, max_escapes=0, max_false_alarms=0)) == Thresholds(0.61, 0.4)


def test_what_is_set_stays() -> None:
    found = scratched(0.5, 0.9)
    assert choose(found, Rule(confidence=0.7, low_confidence=0.6)) == Thresholds(0.7, 0.6)
    assert choose(found, Rule(confidence=0.7)) == Thresholds(0.7, 0.4)
    assert choose(found, Rule(low_confidence=0.2)) == Thresholds(0.3, 0.2)
    assert choose(found, Rule(low_confidence=0.01)).low_confidence == 0.01
    assert choose(None, Rule(confidence=0.7)) == Thresholds(0.7, 0.25)


def test_what_is_set_below_the_floor_is_refused() -> None:
    with pytest.raises(ThresholdsError, match=r"0\.6 is above confidence 0\.3"):
        choose(scratched(0.7), Rule(confidence=0.3))


def test_pictures_in_which_nothing_is_found_are_too_many_at_any_floor() -> None:
    found = predictions(*(picture(n, {"fp32": [(0.9, True)] if n else []}) for n in range(10)))
    with pytest.raises(
        ThresholdsError, match=re.escape("0.05 1 of 10 defective pictures pass, 10.0% and not 1.0%")
    ):
        choose(found, Rule())


def test_false_alarms_at_any_confidence_are_too_many() -> None:
    found = predictions(picture(0, {"fp32": [(0.99, True), (0.98, False)]}))
    with pytest.raises(ThresholdsError, match=r"1 of 1 pictures have a false alarm"):
        choose(found, Rule())


def test_without_a_defective_picture_nothing_tells_what_escapes() -> None:
    with pytest.raises(ThresholdsError, match="no picture is defective"):
        choose(predictions(picture(0, {"fp32": []}, defective=False)), Rule())


def test_a_margin_keeps_both_off_what_was_found() -> None:
    found = predictions(
        picture(0, {"fp32": [(0.805, True)]}), picture(1, {"fp32": [(0.9, True), (0.505, False)]})
    )
    assert choose(found, Rule(0, 0, margin=0)) == Thresholds(0.8, 0.8)
    assert choose(found, Rule(0, 0, margin=0.1)) == Thresholds(0.9, 0.7)
    assert choose(found, Rule(0, 0, margin=0.8)) == Thresholds(0.95, 0.05)
    assert choose(found, Rule(0.5, 0, margin=0.05)) == Thresholds(0.95, 0.85)


def test_a_margin_is_added_to_the_loudest_false_alarm_where_that_is_above_the_weakest_defect() -> None:
    found = predictions(
        picture(0, {"fp32": [(0.305, True)]}), picture(1, {"fp32": [(0.9, True), (0.505, False)]})
    )
    assert choose(found, Rule(0, 0, margin=0.1)) == Thresholds(0.61, 0.2)


def test_the_rule_is_told_with_what_came_of_it() -> None:
    found = scratched(*[0.305] + [0.9] * 99)
    thresholds = choose(found, Rule(margin=0))
    assert explain(found, Rule(), thresholds) == (
        "low_confidence: the highest at which at most 1 % of the defective pictures pass, less 0.1, within 0.05 to "
        "0.95 (of 100, these pass: fp32 1); confidence: the lowest at which at most 2 % of the pictures have a false "
        "alarm, but not below the former, plus 0.1, within 0.05 to 0.95 (of 100, these have one: fp32 0)"
    )
    rule = Rule(low_confidence=0.5)
    assert explain(found, rule, thresholds).startswith("low_confidence: set by hand (of 100, ")


CONFIDENCES = st.lists(
    st.tuples(st.integers(50, 939).map(lambda n: n / 1000 + 0.0005), st.booleans()), max_size=2
)
PICTURES = st.lists(st.tuples(CONFIDENCES, CONFIDENCES, st.booleans()), min_size=1, max_size=6)
SHARES = st.sampled_from([0.0, 0.2, 0.5, 1.0])


@settings(max_examples=30, deadline=None)
@given(PICTURES, SHARES, SHARES)
def test_no_other_thresholds_within_the_limits_review_less(
    drawn: list[tuple[list[tuple[float, bool]], list[tuple[float, bool]], bool]],
    max_escapes: float,
    max_false_alarms: float,
) -> None:
    """By trying all of them, counting as the rule says, for the first precision and the second."""
    pictures = [
        picture(number, {"fp32": fp32, "int8": int8}, defective=defective)
        for number, (fp32, int8, defective) in enumerate(drawn)
    ]
    counts = [Count([(each[column], each[2]) for each in drawn]) for column in (0, 1)]
    defective = sum(is_defective for *_, is_defective in drawn)
    reviews = {
        Thresholds(high, low): sum(count.review(low, high) for count in counts)
        for low in STEPS
        for high in STEPS
        if high >= low
        and all(count.escapes(low) <= max_escapes * defective for count in counts)
        and all(count.alarms(high) <= max_false_alarms * len(drawn) for count in counts)
    }
    found = predictions(*pictures, precisions=("fp32", "int8"))
    try:
        chosen = choose(found, Rule(max_escapes, max_false_alarms, margin=0))
    except ThresholdsError:
        assert not defective or not reviews
    else:
        assert reviews[chosen] == min(reviews.values())


class Count:
    """Pictures by one precision: what is found in each, and whether it is defective."""

    def __init__(self, pictures: list[tuple[list[tuple[float, bool]], bool]]) -> None:
        self.strongest = [max((c for c, _ in found), default=0.0) for found, _ in pictures]
        self.defective = [is_defective for _, is_defective in pictures]
        self.false = [
            max((c for c, touches in found if not (touches and is_defective)), default=0.0)
            for found, is_defective in pictures
        ]

    def escapes(self, low: float) -> int:
        return sum(each < low for each, bad in zip(self.strongest, self.defective, strict=True) if bad)

    def alarms(self, high: float) -> int:
        return sum(each >= high for each in self.false)

    def review(self, low: float, high: float) -> int:
        return sum(low <= each < high for each in self.strongest)
