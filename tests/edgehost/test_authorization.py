"""accessControl as the classic nucleus matches it."""

from __future__ import annotations

import logging

import pytest

from edgehost.authorization import MQTT_PROXY, PUBSUB, is_allowed

PUBLISH_LOCALLY, PUBLISH_TO_CLOUD = "PublishToTopic", "PublishToIoTCore"


def allows(service: str, operation: str, pattern: str, resource: str) -> bool:
    policies = {service: {"p": {"operations": [f"aws.greengrass#{operation}"], "resources": [pattern]}}}
    return is_allowed(policies, service, operation, resource)


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
def test_resources(pattern: str, resource: str, pubsub: bool, mqtt: bool) -> None:
    """* crosses levels everywhere; + and # are wildcards for IoT Core alone; nothing is interpolated."""
    assert allows(PUBSUB, PUBLISH_LOCALLY, pattern, resource) is pubsub
    assert allows(MQTT_PROXY, PUBLISH_TO_CLOUD, pattern, resource) is mqtt


def test_bare_question_mark_grants_nothing_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """A policy that can't be understood is no open door, and the log names it."""
    policies = {PUBSUB: {"odd": {"operations": ["*"], "resources": ["a?"]}}}
    with caplog.at_level(logging.ERROR):
        assert not is_allowed(policies, PUBSUB, PUBLISH_LOCALLY, "a?")
        assert not is_allowed(policies, PUBSUB, PUBLISH_LOCALLY, "ab")
    assert "odd" in caplog.text
    assert "${?}" in caplog.text


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
def test_operations(operations: object, allowed: bool) -> None:
    """An operation is named in full, or all are by *."""
    policies = {PUBSUB: {"p": {"operations": operations, "resources": ["*"]}}}
    assert is_allowed(policies, PUBSUB, PUBLISH_LOCALLY, "t") is allowed


def test_no_resources_means_all() -> None:
    """As the nucleus reads a policy without resources."""
    assert is_allowed({PUBSUB: {"p": {"operations": ["*"]}}}, PUBSUB, PUBLISH_LOCALLY, "t")


@pytest.mark.parametrize("access_control", [None, {}, [], "x", {PUBSUB: None}, {PUBSUB: {"p": "x"}}])
def test_without_policies_nothing_is_allowed(access_control: object) -> None:
    """Missing or malformed policies are no policies."""
    assert not is_allowed(access_control, PUBSUB, PUBLISH_LOCALLY, "t")


def test_one_service_does_not_speak_for_another() -> None:
    """Leave to publish locally is no leave to publish to the cloud."""
    policies = {PUBSUB: {"p": {"operations": ["*"], "resources": ["*"]}}}
    assert not is_allowed(policies, MQTT_PROXY, PUBLISH_TO_CLOUD, "t")
