"""The configuration: what is accepted, what is refused, and how it is told."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.core.package import Thresholds
from inspector.core.settings import Settings, SettingsError, parse
from signing import PUBLIC_KEY

FIELDS = {each.encode_name: each for each in msgspec.structs.fields(Settings)}
DEFAULTS = msgspec.to_builtins(Settings())
NUMBERS = [key for key, value in DEFAULTS.items() if type(value) in (int, float)]
BOOLEANS = [key for key, value in DEFAULTS.items() if isinstance(value, bool)]


def errors(configuration: dict) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        parse(configuration)
    assert all(error in str(caught.value) for error in caught.value.errors)
    return caught.value.errors


WRONG = {"LogLevel": "loud"}
"""So that there is an error in any case."""


def test_an_empty_configuration_is_valid() -> None:
    """The component starts with nothing configured, and says nothing about it."""
    assert parse({}) == (Settings(), ())


@pytest.mark.parametrize("key", FIELDS)
def test_each_default_is_valid_where_it_is_written_out(key) -> None:
    """A default copied from the reference into a deployment changes nothing."""
    assert parse({key: DEFAULTS[key]}) == (Settings(), ())


@pytest.mark.parametrize("key", FIELDS)
def test_keys_are_matched_without_regard_to_case(key) -> None:
    """As Greengrass does."""
    assert parse({key.lower(): DEFAULTS[key]}) == parse({key.upper(): DEFAULTS[key]}) == (Settings(), ())


@pytest.mark.parametrize("key", NUMBERS)
def test_numbers_may_come_as_strings(key) -> None:
    """Greengrass Lite makes a string of every scalar in a recipe."""
    assert parse({key: str(DEFAULTS[key])}) == (Settings(), ())


@pytest.mark.parametrize("key", BOOLEANS)
@pytest.mark.parametrize(("text", "value"), [("true", True), ("false", False), ("True", True), ("0", False)])
def test_booleans_may_come_as_strings(key, text, value) -> None:
    """Also as the Python and the JSON spelling of them."""
    settings, _ = parse({key: text, "PublicKey": PUBLIC_KEY})  # as RequireSignature needs
    assert msgspec.to_builtins(settings)[key] is value


@given(st.floats(0, 1))
def test_any_share_means_the_same_as_a_string(share) -> None:
    """Number and string give equal settings, to the last digit."""
    assert parse({"AuditShare": share}) == parse({"AuditShare": str(share)})


@given(st.integers(1, 10_000))
def test_a_whole_number_may_come_as_a_float_or_a_string(count) -> None:
    """JSON on its way through Greengrass doesn't tell 300 from 300.0."""
    assert parse({"MaxDetections": count}) == parse({"MaxDetections": str(count)})
    assert parse({"MaxDetections": count}) == parse({"MaxDetections": float(count)})


def test_thresholds_may_come_as_strings_within_a_class() -> None:
    """Nested values are coerced too."""
    settings, _ = parse({"ClassThresholds": {"dent": {"ConfidenceThreshold": "0.6"}}})
    assert settings.class_thresholds["dent"].confidence_threshold == 0.6


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ConfidenceThreshold", 1.01),
        ("ConfidenceThreshold", -0.01),
        ("ConfidenceThreshold", "NaN"),
        ("ConfidenceThreshold", "high"),
        ("ConfidenceThreshold", True),
        ("LowConfidenceThreshold", [0.3]),
        ("AuditShare", "1.5"),
        ("SourceMode", "once"),
        ("AfterInspection", "move"),
        ("InferenceInterval", 0),
        ("InferenceInterval", "5 s"),
        ("SettleMilliseconds", 1.5),
        ("SettleMilliseconds", -1),
        ("MaxDetections", 0),
        ("MaxMessageBytes", 3_999),
        ("MaxImageMegapixels", 0),
        ("BacklogPerSecond", "inf"),
        ("StatusIntervalSeconds", 0.5),
        ("ImageDirectory", ""),
        ("ImageDirectory", None),
        ("PublishToTopic", "yes"),
        ("LogLevel", "verbose"),
        ("Precision", "fp16"),
        ("TopicPrefix", ""),
        ("TopicPrefix", "/inspect"),
        ("TopicPrefix", "inspect/+"),
        ("TopicPrefix", "inspect/#"),
        ("TopicPrefix", "a b"),
        ("TopicPrefix", "inspect\n"),
        ("TopicPrefix", "$aws"),
        ("TopicPrefix", "a/b/c/d/e"),
        ("TopicPrefix", "x" * 101),
        ("ClassThresholds", "scratch"),
        ("ClassThresholds", {"scratch": 0.5}),
        ("ClassThresholds", {"scratch": {"Threshold": 0.5}}),
        ("ClassThresholds", {"scratch": {"ConfidenceThreshold": 2}}),
    ],
)
def test_a_wrong_value_is_refused_by_key_and_value(key, value) -> None:
    """The message names both, and what was expected."""
    (error,) = errors({key: value})
    assert error.startswith(f"{key}={value!r}: ")


@pytest.mark.parametrize("key", ["IgnorePattern", "PartPattern", "CaptureTimePattern"])
def test_a_pattern_that_is_none_is_refused(key) -> None:
    """With the place where it breaks."""
    (error,) = errors({key: "tag-(\\d+"})
    assert error.startswith(f"{key} is no regular expression: ")
    assert "position 4" in error


@pytest.mark.parametrize("pattern", ["x{99999999999}", "(" * 5_000 + ")" * 5_000])
def test_a_pattern_that_breaks_the_compiler_is_refused(pattern) -> None:
    """It is refused like any other, and ends no process."""
    (error,) = errors({"PartPattern": pattern})
    assert error.startswith("PartPattern is no regular expression: ")


@pytest.mark.parametrize("key", ["ImageDirectory", "ModelDirectory", "ArchiveDirectory"])
def test_a_path_holds_no_zero_byte(key) -> None:
    """No system call takes one."""
    assert errors({key: "a\0b"}) == (f"{key} holds a zero byte",)


@pytest.mark.parametrize(
    ("images", "archive", "is_valid"),
    [
        ("images", "images/archive", False),
        ("images", "images", False),
        (".", "archive", False),
        ("/data", "/data/../data/old", False),
        ("images", "images-old", True),
        ("/data/in", "/data/out", True),
        ("images/in", "images", True),
    ],
)
def test_the_archive_lies_outside_the_image_directory(images, archive, is_valid) -> None:
    """What is archived there would be inspected again, and again."""
    found = errors({"ImageDirectory": images, "ArchiveDirectory": archive, **WRONG})
    assert any("ArchiveDirectory lies in ImageDirectory" in error for error in found) != is_valid


def test_an_error_shows_no_more_of_a_value_than_fits() -> None:
    """Errors go into messages of limited size."""
    (error,) = errors({"SourceMode": "x" * 100_000})
    assert len(error) < 300


def test_every_error_is_named_in_one_message() -> None:
    """Nobody has to deploy five times to learn of five mistakes."""
    found = errors(
        {
            "ConfidenceThreshold": 0.3,
            "LowConfidenceThreshold": 0.6,
            "ClassThresholds": {
                "scratch": {"ConfidenceThreshold": 0.2, "LowConfidenceThreshold": 0.4},
                "dent": {"ConfidenceThreshold": 0.1, "LowConfidenceThreshold": 0.2},
            },
            "LogLevel": "loud",
            "maxdetections": "many",
            "PartPattern": "(",
        }
    )
    assert len(found) == 6
    text = " ".join(found)
    for key in (
        "LogLevel='loud'",
        "MaxDetections='many'",
        "PartPattern",
        "of scratch",
        "of dent",
        "0.6 is above",
    ):
        assert key in text


def test_the_message_counts_the_errors() -> None:
    """It is a refusal of the configuration, and says how much is wrong with it."""
    with pytest.raises(SettingsError, match=r"configuration refused, 2 error\(s\): .*; "):
        parse({"LogLevel": "loud", "Precision": "fp16"})


@pytest.mark.parametrize(
    ("accept", "floor", "is_valid"),
    [(0.5, 0.5, True), (0.5, 0.51, False), ("0.2", "0.3", False), (1, 0.05, True)],
)
def test_a_floor_above_the_accepting_threshold_is_refused(accept, floor, is_valid) -> None:
    """Of all classes or of one; equal ones leave no room for a review, and are allowed."""
    both = {"ConfidenceThreshold": accept, "LowConfidenceThreshold": floor}
    for configuration in (both, {"ClassThresholds": {"dent": both}}):
        if is_valid:
            parse(configuration)
        else:
            assert "is above ConfidenceThreshold" in errors(configuration)[0]


@pytest.mark.parametrize(
    ("key", "suggestion"),
    [
        ("ConfidenceTreshold", "; did you mean ConfidenceThreshold?"),
        ("imagedirectory2", "; did you mean ImageDirectory?"),
        ("TopicPrefixes", "; did you mean TopicPrefix?"),
        ("zzz", ""),
    ],
)
def test_an_unknown_key_warns_with_a_suggestion(key, suggestion) -> None:
    """Configuration outlives versions, so it is no error; a slip of the pen is still told."""
    settings, warnings = parse({key: "x"})
    assert settings == Settings()
    assert warnings == (f"unknown key {key} is ignored{suggestion}",)


@pytest.mark.parametrize("key", ["accessControl", "AccessControl"])
def test_what_greengrass_keeps_there_itself_is_no_unknown_key(key) -> None:
    """The policies of the component are in its configuration, and are none of its settings."""
    assert parse({key: {"aws.greengrass.ipc.pubsub": {}}}) == (Settings(), ())


def test_a_threshold_below_what_the_detector_reports_warns() -> None:
    """It cannot be honoured, so it is said how it acts."""
    low = {"LowConfidenceThreshold": 0.01}
    _, warnings = parse(low | {"ClassThresholds": {"dent": low}, "ConfidenceThreshold": 0.5})
    assert [warning.partition(":")[0] for warning in warnings] == [
        "LowConfidenceThreshold 0.01 acts as 0.05",
        "LowConfidenceThreshold of dent 0.01 acts as 0.05",
    ]


MODEL = Thresholds(confidence=0.6, low_confidence=0.4)


@pytest.mark.parametrize(
    ("configuration", "model", "expected"),
    [
        ({}, None, (0.5, 0.25)),
        ({}, MODEL, (0.6, 0.4)),
        ({"ConfidenceThreshold": 0.9}, MODEL, (0.9, 0.4)),
        ({"ConfidenceThreshold": 0.3}, MODEL, (0.3, 0.3)),
        ({"LowConfidenceThreshold": 0.1}, MODEL, (0.6, 0.1)),
        ({"LowConfidenceThreshold": 0.8}, MODEL, (0.8, 0.8)),
        ({"ConfidenceThreshold": 0.9, "LowConfidenceThreshold": 0.8}, MODEL, (0.9, 0.8)),
        ({"ConfidenceThreshold": None}, MODEL, (0.6, 0.4)),
    ],
)
def test_thresholds_are_the_configuration_s_else_the_model_s(configuration, model, expected) -> None:
    """Where only one is configured it is taken at its word, and the other gives way."""
    settings, _ = parse(configuration)
    assert settings.thresholds(model) == Thresholds(*expected)


def test_a_class_takes_what_it_does_not_say_from_all_classes() -> None:
    """An exception may be half an exception."""
    settings, _ = parse(
        {
            "ConfidenceThreshold": 0.7,
            "ClassThresholds": {
                "dent": {"ConfidenceThreshold": 0.9},
                "stain": {"LowConfidenceThreshold": 0.8},
                "chip": {},
            },
        }
    )
    assert settings.thresholds_by_label(MODEL) == {
        "dent": Thresholds(confidence=0.9, low_confidence=0.4),
        "stain": Thresholds(confidence=0.8, low_confidence=0.8),
        "chip": Thresholds(confidence=0.7, low_confidence=0.4),
    }


def test_the_configuration_is_left_as_it_was() -> None:
    """Parsing doesn't write into what Greengrass gave."""
    configuration = {"AuditShare": "0.5", "ClassThresholds": {"dent": {"ConfidenceThreshold": "0.6"}}}
    parse(configuration)
    assert configuration == {"AuditShare": "0.5", "ClassThresholds": {"dent": {"ConfidenceThreshold": "0.6"}}}


def test_a_disk_is_low_before_it_is_full() -> None:
    """Else images would stop before anything had given way to them."""
    with pytest.raises(SettingsError, match="DiskFullMegabytes 200 is above DiskLowMegabytes 100"):
        parse({"DiskLowMegabytes": 100, "DiskFullMegabytes": 200})


def test_a_required_signature_needs_a_key() -> None:
    """Which no model package could bring along."""
    with pytest.raises(SettingsError, match="RequireSignature needs a PublicKey"):
        parse({"RequireSignature": True})


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize(
    ("key", "cause"),
    [
        ("garbage", "no PEM text"),
        (PUBLIC_KEY.replace("PUBLIC", "PRIVATE"), "no PEM text"),
        (PUBLIC_KEY.replace("MIIB", "MIIC"), "cut short"),
    ],
)
def test_a_public_key_that_is_none_is_refused_with_the_configuration(required, key, cause) -> None:
    """A deployment is rejected for it; it is no fault of the model package."""
    (error,) = errors({"RequireSignature": required, "PublicKey": key})
    assert error.startswith("PublicKey cannot be used: ")
    assert cause in error
