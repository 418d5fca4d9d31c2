"""accessControl as each nucleus matches it."""

from __future__ import annotations

import logging

import pytest

from edgehost.authorization import MQTT_PROXY, PUBSUB, IsAllowed
from edgehost.classic import authorization as classic
from edgehost.lite import authorization as lite
from edgehost.profile import LITE, PROFILES, Profile
from ipc_bench import Bench

PUBLISH_LOCALLY, PUBLISH_TO_CLOUD = "PublishToTopic", "PublishToIoTCore"


VARIABLES = {"{iot:thingName}": "edgehost-1"}
BOTH = pytest.mark.parametrize("is_allowed", [classic.is_allowed, lite.is_allowed], ids=list(PROFILES))


def allows(nucleus: IsAllowed, service: str, operation: str, pattern: str, resource: str) -> bool:
    policies = {service: {"p": {"operations": [f"aws.greengrass#{operation}"], "resources": [pattern]}}}
    return nucleus(policies, service, operation, resource, VARIABLES)


# Taken over from the cases that the nucleus's documentation and WildcardTrie's comments give.
@pytest.mark.parametrize(
    ("pattern", "resource", "pubsub", "mqtt"),
    [
        ("a/b", "a/b", True, True),
        ("a/b", "a/b/c", False, False),
        ("a/b", "A/b", False, False),
        ("*", "any/thing", True, True),
        ("a/*", "a/b/c", True, True),
        ("a/*", "a", False, False),
        ("a/*/c", "a/b/b/c", True, True),
        ("a*d", "a/b/c/d", True, True),
        ("a.c", "abc", False, False),
        ("a/+/c", "a/b/c", False, True),
        ("a/+/c", "a/b/b/c", False, False),
        ("a/+/c", "a/+/c", True, True),
        ("+/b", "a/b", False, True),
        ("a/+", "a/b", False, True),
        ("a/+", "a/b/c", False, False),
        ("a+/c", "ab/c", False, False),
        ("a/#", "a/b/c", False, True),
        ("a/#", "a", False, True),
        ("a/#", "a/#", True, True),
        ("a/#/c", "a/b/c", False, False),
        ("a#", "ab", False, False),
        ("#", "a/b", False, True),
        ("a/${*}", "a/*", True, True),
        ("a/${*}", "a/b", False, False),
        ("a${?}", "a?", True, True),
        ("a${$}b", "a$b", True, True),
        ("a$b", "a$b", True, True),
        ("inspect/{iot:thingName}/results", "inspect/edgehost-1/results", False, False),
    ],
)
def test_resources_on_classic(pattern: str, resource: str, pubsub: bool, mqtt: bool) -> None:
    """* crosses levels everywhere; + and # are wildcards for IoT Core alone; nothing is interpolated."""
    assert allows(classic.is_allowed, PUBSUB, PUBLISH_LOCALLY, pattern, resource) is pubsub
    assert allows(classic.is_allowed, MQTT_PROXY, PUBLISH_TO_CLOUD, pattern, resource) is mqtt


# Read off the matchers' code.
@pytest.mark.parametrize(
    ("pattern", "resource", "pubsub", "mqtt"),
    [
        ("a/b", "a/b", True, True),
        ("a/b", "a/b/c", False, False),
        ("a/b", "A/b", False, False),
        ("*", "any/thing", True, True),
        ("", "", True, True),
        ("a/*", "a/b/c", True, True),
        ("a/*", "a/", True, True),
        ("a/*", "a", False, False),
        ("a/*/c", "a/b/b/c", True, True),
        ("a*d", "a/b/c/d", True, True),
        ("*a*a", "a", False, False),
        ("a*a", "aba", True, True),
        ("a.c", "abc", False, False),
        ("a/+/c", "a/b/c", False, True),
        ("a/+/c", "a/b/b/c", False, False),
        ("a/+/c", "a/+/c", True, True),
        ("+/b", "a/b", False, True),
        ("a/+", "a/b", False, True),
        ("a/+", "a/b/c", False, False),
        ("a+/c", "ab/c", False, True),
        ("a/#", "a/b/c", False, True),
        ("a/#", "a", False, False),
        ("a/#", "a/#", True, True),
        ("a/#/c", "a/b", False, True),
        ("a#", "ab", False, True),
        ("#", "a/b", False, True),
        ("a/*/+", "a/b/c", False, False),
        ("*/#", "a/b", False, False),
        ("a/${*}", "a/*", True, True),
        ("a/${*}", "a/b", False, False),
        ("a/${*}/+", "a/*/b", False, False),
        ("a${$}b", "a$b", True, True),
        ("a$b", "a$b", True, True),
        ("a${?}", "a?", False, False),
        ("a?", "a?", False, False),
        ("a/*", "a/${x}", False, False),
        ("a/*", "a/${*}", True, True),
        ("inspect/{iot:thingName}/results", "inspect/edgehost-1/results", True, True),
        ("{iot:thingName}/*", "edgehost-1/up", True, True),
        ("{iot:nothing}/*", "{iot:nothing}/up", False, False),
        ("a/{iot:thingName", "a/{iot:thingName", False, False),
        ("${*}{iot:thingName}", "*edgehost-1", True, True),
    ],
)
def test_resources_on_lite(pattern: str, resource: str, pubsub: bool, mqtt: bool) -> None:
    """* crosses levels everywhere; a filter is one for IoT Core alone, and never one with a *; variables are filled
    in, and a topic with a ? is nobody's.
    """
    assert allows(lite.is_allowed, PUBSUB, PUBLISH_LOCALLY, pattern, resource) is pubsub
    assert allows(lite.is_allowed, MQTT_PROXY, PUBLISH_TO_CLOUD, pattern, resource) is mqtt


def test_bare_question_mark_grants_nothing_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """A policy that can't be understood is no open door, and the log names it."""
    policies = {PUBSUB: {"odd": {"operations": ["*"], "resources": ["a?"]}}}
    with caplog.at_level(logging.ERROR):
        assert not classic.is_allowed(policies, PUBSUB, PUBLISH_LOCALLY, "a?", {})
        assert not classic.is_allowed(policies, PUBSUB, PUBLISH_LOCALLY, "ab", {})
    assert "odd" in caplog.text
    assert "${?}" in caplog.text


@BOTH
@pytest.mark.parametrize(
    ("operations", "allowed"),
    [
        (["*"], True),
        (["aws.greengrass#PublishToTopic"], True),
        (["aws.greengrass#SubscribeToTopic"], False),
        (["PublishToTopic"], False),
        ([], False),
        ("aws.greengrass#PublishToTopic", False),
        (None, False),
    ],
)
def test_operations(is_allowed: IsAllowed, operations: object, allowed: bool) -> None:
    """An operation is named in full, or all are by *."""
    policies = {PUBSUB: {"p": {"operations": operations, "resources": ["*"]}}}
    assert is_allowed(policies, PUBSUB, PUBLISH_LOCALLY, "t", {}) is allowed


@pytest.mark.parametrize(
    ("is_allowed", "allowed"), [(classic.is_allowed, True), (lite.is_allowed, False)], ids=list(PROFILES)
)
def test_policy_without_resources(is_allowed: IsAllowed, allowed: bool) -> None:
    """It means all of them on classic, and is no policy on Lite."""
    assert is_allowed({PUBSUB: {"p": {"operations": ["*"]}}}, PUBSUB, PUBLISH_LOCALLY, "t", {}) is allowed


@BOTH
@pytest.mark.parametrize("access_control", [None, {}, [], "x", {PUBSUB: None}, {PUBSUB: {"p": "x"}}])
def test_without_policies_nothing_is_allowed(is_allowed: IsAllowed, access_control: object) -> None:
    """Missing or malformed policies are no policies."""
    assert not is_allowed(access_control, PUBSUB, PUBLISH_LOCALLY, "t", {})


@BOTH
def test_one_service_does_not_speak_for_another(is_allowed: IsAllowed) -> None:
    """Leave to publish locally is no leave to publish to the cloud."""
    policies = {PUBSUB: {"p": {"operations": ["*"], "resources": ["*"]}}}
    assert not is_allowed(policies, MQTT_PROXY, PUBLISH_TO_CLOUD, "t", {})


EVERYTHING = {"operations": ["*"], "resources": ["*"]}


@pytest.mark.parametrize(
    ("policies", "on_classic", "on_lite"),
    [
        ({"a": {"operations": ["*"], "resources": ["other"]}, "b": EVERYTHING}, True, True),
        ({"a": {"Operations": ["*"], "Resources": ["*"]}}, True, False),
        ({"a": {"operations": ["*"], "resources": ["t", 7]}}, True, False),
        ({"a": "no policy", "b": EVERYTHING}, True, False),
        ({"a": EVERYTHING, "b": "no policy"}, True, True),
        ({"a": EVERYTHING | {"policyDescription": "x" * 3951}}, True, True),
        ({"a": EVERYTHING | {"policyDescription": "x" * 3952}}, True, False),
    ],
    ids=["second", "case", "number", "malformed before", "malformed after", "4,096 bytes", "4,097 bytes"],
)
def test_odd_policies(policies: object, on_classic: bool, on_lite: bool) -> None:
    """Classic passes over what it can't read; Lite is stricter, and has 4,096 bytes for all policies of a service."""
    assert classic.is_allowed({PUBSUB: policies}, PUBSUB, PUBLISH_LOCALLY, "t", {}) is on_classic
    assert lite.is_allowed({PUBSUB: policies}, PUBSUB, PUBLISH_LOCALLY, "t", {}) is on_lite


@pytest.mark.parametrize("profile", PROFILES.values(), ids=list(PROFILES))
def test_host_fills_in_the_name_of_the_thing(bench: Bench, profile: Profile) -> None:
    """As far as the nucleus does."""
    resource = "inspect/{iot:thingName}"
    bench.token("com.a", {PUBSUB: {"p": {"operations": ["*"], "resources": [resource]}}})
    allowed = bench.host.authorize("com.a", PUBSUB, PUBLISH_LOCALLY, f"inspect/{bench.host.thing_name}")
    assert allowed is (profile is LITE)
