"""PublishToTopic and SubscribeToTopic."""

from __future__ import annotations

from typing import Any

from conformance.case import BOTH, CLASSIC, LITE, NOTHING_ALLOWED, Payload, Request, rows

_AGENT = "nucleus: PubSubIPCEventStreamAgent.java, SubscriptionTrie.java"
_PUBLISH = "lite: ggipcd/src/services/pubsub/publish_to_topic.c, ggpubsubd/src/entry.c"
_SUBSCRIBE = "lite: ggipcd/src/services/pubsub/subscribe_to_topic.c, ggpubsubd/src/entry.c"
_MATCH = "lite: coreMQTT's MQTT_MatchTopic, as ggpubsubd calls it"
_CAPTURED = "lite: captured frames 37 and 38"
_ROOM = "lite: core-bus/src/client_subscribe.c, PAYLOAD_MAX_SUBOBJECTS"
_INVALID = ("ServiceError", "Received invalid parameters.")
_ONLY_RESULTS = {
    "aws.greengrass.ipc.pubsub": {
        "p": {"operations": ["aws.greengrass#PublishToTopic"], "resources": ["inspect/*/results"]}
    }
}
_DENIED = (
    "Principal com.me is not authorized to perform aws.greengrass.ipc.pubsub:aws.greengrass#{} on resource {}"
)


def _binary(topic: str, message: str = "eA==") -> Payload:
    return {"topic": topic, "publishMessage": {"binaryMessage": {"message": message}}}


def _json(topic: str, message: Any) -> Payload:
    return {"topic": topic, "publishMessage": {"jsonMessage": {"message": message}}}


def _publish(payload: Payload, by: str = "com.other") -> Request:
    return Request("PublishToTopic", payload, by)


def _heard(topic: str, message: str = "eA==") -> Payload:
    return {"binaryMessage": {"message": message, "context": {"topic": topic}}}


def _heard_json(topic: str, message: Any) -> Payload:
    return {"jsonMessage": {"message": message, "context": {"topic": topic}}}


def _publishing() -> list:
    both, _ = rows("PublishToTopic", BOTH, f"{_AGENT}; {_PUBLISH}")
    _, classic_refuses = rows("PublishToTopic", CLASSIC, _AGENT)
    lite, lite_refuses = rows("PublishToTopic", LITE, _PUBLISH)
    unauthorized = ("UnauthorizedError", "IPC Operation not authorized.")
    kinds = {"binaryMessage": {"message": "eA=="}, "jsonMessage": {"message": {}}}
    return [
        both(_binary("nobody/listens")),
        both(_json("nobody/listens", {})),
        both(_binary("inspect/line-1/results"), access=_ONLY_RESULTS),
        *(
            classic_refuses(
                "denied",
                _binary(topic),
                "UnauthorizedError",
                _DENIED.format("PublishToTopic", topic),
                access=access,
            )
            for topic, access in _refused_topics()
        ),
        *(
            lite_refuses("denied", _binary(topic), *unauthorized, access=access)
            for topic, access in _refused_topics()
        ),
        *(
            classic_refuses(
                "invalid",
                _binary(topic),
                "InvalidArgumentsError",
                "Publish topic must not contain a wildcard.",
            )
            for topic in ("a/+", "a/#", "a/*")
        ),
        lite(_binary("a/+")),
        classic_refuses(
            "invalid",
            {"publishMessage": kinds},
            "InvalidArgumentsError",
            "Publish topic must not be null",
        ),
        classic_refuses("invalid", {"topic": "a"}, "InvalidArgumentsError"),
        classic_refuses("invalid", {"topic": "a", "publishMessage": {}}, "InvalidArgumentsError"),
        lite_refuses("invalid", {"publishMessage": kinds}, *_INVALID),
        lite_refuses("invalid", {"topic": "a"}, *_INVALID),
        lite_refuses("invalid", {"topic": "a", "publishMessage": {}}, *_INVALID),
        lite_refuses("invalid", {"topic": "a", "publishMessage": kinds}, *_INVALID),
        lite_refuses("invalid", {"topic": "a", "publishMessage": {"jsonMessage": {}}}, *_INVALID),
        lite_refuses("invalid", _binary("a", 1), *_INVALID),
        lite_refuses("invalid", {"topic": "a"}, *_INVALID, access=NOTHING_ALLOWED),
        lite(_binary("t" * 256)),
        lite_refuses("failed", _binary("t" * 257), "ServiceError", "Failed to publish the message."),
        lite(_json("a", {"l": [1] * 192})),
        lite_refuses(
            "failed", _json("a", {"l": [1] * 193}), "ServiceError", "Failed to publish the message."
        ),
    ]


def _refused_topics() -> list[tuple[str, Payload]]:
    elsewhere = ("inspect/line-1/status", "inspect/results", "other")
    return [("t", NOTHING_ALLOWED), *((topic, _ONLY_RESULTS) for topic in elsewhere)]


def _subscribing() -> list:
    both, _ = rows("SubscribeToTopic", BOTH, f"{_AGENT}; {_SUBSCRIBE}")
    _, classic_refuses = rows("SubscribeToTopic", CLASSIC, _AGENT)
    lite, lite_refuses = rows("SubscribeToTopic", LITE, _SUBSCRIBE)
    unauthorized = ("UnauthorizedError", "IPC Operation not authorized.")
    not_bound = ("ServiceError", "Failed to bind subscription.")
    captured, _ = rows("SubscribeToTopic", LITE, _CAPTURED)
    published = {"x": 1, "f": 1.5, "s": "é", "l": [None, True], "n": {}}
    arrived = {key: published[key] for key in sorted(published)}
    both_kinds = (_publish(_binary("line/1/results")), _publish(_json("line/2/results", published)))
    both_heard = (_heard("line/1/results"), _heard_json("line/2/results", arrived))
    return [
        both({"topic": "line/+/results"}, after=both_kinds, events=both_heard),
        captured(
            {"topic": "t"},
            after=(_publish(_json("t", {"z": [{"d": 1, "c": 2}], "b": {"Z": 1, "a": 2}})),),
            events=(_heard_json("t", {"b": {"Z": 1, "a": 2}, "z": [{"c": 2, "d": 1}]}),),
        ),
        classic_refuses(
            "denied",
            {"topic": "t"},
            "UnauthorizedError",
            _DENIED.format("SubscribeToTopic", "t"),
            access=NOTHING_ALLOWED,
        ),
        classic_refuses(
            "denied",
            {"topic": "inspect/line-1/results"},
            "UnauthorizedError",
            _DENIED.format("SubscribeToTopic", "inspect/line-1/results"),
            access=_ONLY_RESULTS,
        ),
        lite_refuses("denied", {"topic": "t"}, *unauthorized, access=NOTHING_ALLOWED),
        lite_refuses("denied", {"topic": "inspect/line-1/results"}, *unauthorized, access=_ONLY_RESULTS),
        classic_refuses("invalid", {"topic": ""}, "InvalidArgumentsError"),
        classic_refuses("invalid", {}, "InvalidArgumentsError"),
        classic_refuses("invalid", {"topic": "t", "receiveMode": "SOMETIMES"}, "InvalidArgumentsError"),
        lite_refuses("invalid", {}, *_INVALID),
        lite_refuses("invalid", {"topic": 1}, *_INVALID),
        lite_refuses("failed", {"topic": ""}, *not_bound),
        lite_refuses("failed", {"topic": "t" * 257}, *not_bound),
        lite({"topic": "t" * 256}, after=(_publish(_binary("t" * 256)),), events=(_heard("t" * 256),)),
        lite({"topic": "t", "receiveMode": "SOMETIMES"}),
        *_room(),
    ]


def _room() -> list:
    """One message that the receiver can't decode, and it hears no more; the publisher is told of success."""
    listens, _ = rows("SubscribeToTopic", LITE, _ROOM)
    last = _publish(_binary("t"))
    pairs = {f"k{number:02}": 1 for number in range(23)}
    # 550 bytes: 11 pairs of 21, topic, type and message among them, and 29 elements of 11; 551: 10 pairs, 31 elements
    exactly = {**{f"k{number}": 1 for number in range(7)}, "l": [1] * 29}
    one_more = {**{f"k{number}": 1 for number in range(6)}, "l": [1] * 31}
    fits = [{"l": [1] * 42}, pairs, [1] * 44, exactly]
    too_much = [{"l": [1] * 43}, pairs | {"k23": 1}, [1] * 45, one_more]
    return [
        *(
            listens(
                {"topic": "t"},
                after=(_publish(_json("t", message)), last),
                events=(_heard_json("t", message), _heard("t")),
            )
            for message in fits
        ),
        *(listens({"topic": "t"}, after=(_publish(_json("t", message)), last)) for message in too_much),
    ]


def _wildcards() -> list:
    table = [
        ("a/b", "a/b", BOTH),
        ("a/b", "a/c", ()),
        ("a/b", "a/b/c", ()),
        ("a/b/c", "a/b", ()),
        ("a/+/c", "a/b/c", BOTH),
        ("a/+", "a/b/c", ()),
        ("a/+", "a/", BOTH),
        ("a/#", "a/b/c", BOTH),
        ("a/#", "a", LITE),
        ("#", "a/b", BOTH),
        ("+", "a", BOTH),
        ("a/b+", "a/bc", ()),
        ("#", "$x/y", CLASSIC),
        ("+/y", "$x/y", CLASSIC),
        ("$x/#", "$x/y", BOTH),
    ]
    everything = {"receiveMode": "RECEIVE_ALL_MESSAGES"}
    cases = []
    for profiles, source in ((CLASSIC, _AGENT), (LITE, _MATCH)):
        answers, _ = rows("SubscribeToTopic", profiles, source)
        for topic_filter, topic, heard_on in table:
            heard = (_heard(topic),) if profiles[0] in heard_on else ()
            after = (_publish(_binary(topic), by="com.me"),)
            cases.append(answers({"topic": topic_filter, **everything}, after=after, events=heard))
    return cases


def _receive_modes() -> list:
    classic, _ = rows("SubscribeToTopic", CLASSIC, _AGENT)
    lite, _ = rows("SubscribeToTopic", LITE, _SUBSCRIBE)
    after = (_publish(_binary("t/1", "bWU="), by="com.me"), _publish(_binary("t/1", "eW91")))
    others = (_heard("t/1", "eW91"),)
    everyone = (_heard("t/1", "bWU="), *others)
    table = [
        ({"topic": "t/1"}, everyone),
        ({"topic": "t/#"}, others),
        ({"topic": "t/1", "receiveMode": "RECEIVE_MESSAGES_FROM_OTHERS"}, others),
        ({"topic": "t/#", "receiveMode": "RECEIVE_ALL_MESSAGES"}, everyone),
    ]
    return [
        *(classic(request, after=after, events=heard) for request, heard in table),
        *(lite(request, after=after, events=everyone) for request, _ in table),
    ]


CASES = [*_publishing(), *_subscribing(), *_wildcards(), *_receive_modes()]
