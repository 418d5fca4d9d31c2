"""GetConfiguration, UpdateConfiguration, SubscribeToConfigurationUpdate, and validation."""

from __future__ import annotations

from conformance.case import (
    ALL_ALLOWED,
    BEFORE_S,
    BOTH,
    CLASSIC,
    CONFIGURATION,
    LATER_S,
    LITE,
    NOW_S,
    Deployment,
    Payload,
    Request,
    rows,
)

_AGENT = "nucleus: ConfigStoreIPCEventStreamAgent.java"
_GET = "lite: ggipcd/src/services/config/get_configuration.c"
_UPDATE = "lite: ggipcd/src/services/config/update_configuration.c"
_SUBSCRIBE = "lite: ggipcd/src/services/config/subscribe_to_configuration_update.c"
_STORE = "lite: ggconfigd/src/db_corebus.c, db_interface.c"
_SIZES = "lite: core-bus/src/server.c, GgObject and GgKV in the component SDK's types.h"
_NO_POLICIES: Payload = {}
TOO_DEEP = [f"k{level}" for level in range(13)]
DEEPEST = TOO_DEEP[:-1]


def _value(value: Payload, component: str = "com.me") -> Payload:
    return {"componentName": component, "value": value}


def _update(value: object, *key_path: str, at_s: float = NOW_S) -> Request:
    return Request("UpdateConfiguration", _merge(value, *key_path, at_s=at_s))


def _merge(value: object, *key_path: str, at_s: float = NOW_S) -> Payload:
    return {"keyPath": list(key_path), "timestamp": at_s, "valueToMerge": value}


def _changed(*key_path: str) -> Payload:
    return {"configurationUpdateEvent": {"componentName": "com.me", "keyPath": list(key_path)}}


def _get() -> list:
    both, _ = rows("GetConfiguration", BOTH, f"{_AGENT}; {_GET}")
    classic, classic_refuses = rows("GetConfiguration", CLASSIC, _AGENT)
    lite, lite_refuses = rows("GetConfiguration", LITE, _GET)
    plain = {"access": _NO_POLICIES}
    wide = {f"k{number}": "x" for number in range(125)}
    long = {f"k{number:02}": "x" * 76 for number in range(98)}
    wide_enough, long_enough = (dict(list(each.items())[:-1]) for each in (wide, long))
    return [
        both({"keyPath": ["Text"]}, _value({"Text": "hi"}), **plain),
        both({"keyPath": ["Number"]}, _value({"Number": 10.5})),
        both({"keyPath": ["Nothing"]}, _value({"Nothing": None})),
        both({"keyPath": ["List"]}, _value({"List": ["one", 2, {"three": 3}]})),
        both({"keyPath": ["Nested"]}, _value({"Inner": {"Deep": True}, "Other": 1})),
        both({"keyPath": ["Empty"]}, _value({})),
        both({"keyPath": ["Nested", "Inner", "Deep"]}, _value({"Deep": True})),
        both({"keyPath": []}, _value({**CONFIGURATION, "accessControl": {}}), **plain),
        both({}, _value({**CONFIGURATION, "accessControl": {}}), **plain),
        both(
            {"componentName": "com.other", "keyPath": ["Key"]},
            _value({"Key": 7}, "com.other"),
            before=(Request("UpdateConfiguration", _merge({"Key": 7}), by="com.other"),),
        ),
        classic({"keyPath": ["nested", "INNER", "deep"]}, _value({"Deep": True})),
        *(
            refuses("failed", request, "ResourceNotFoundError", message)
            for refuses, message in ((classic_refuses, "Key not found"), (lite_refuses, "Key not found."))
            for request in (
                {"keyPath": ["None"]},
                {"keyPath": ["Text", "below"]},
                {"componentName": "com.none"},
            )
        ),
        classic_refuses("invalid", {"keyPath": [1]}, "InvalidArgumentsError"),
        lite_refuses("failed", {"keyPath": ["text"]}, "ResourceNotFoundError", "Key not found."),
        lite_refuses("invalid", {"keyPath": [1]}, "ServiceError", "Received invalid parameters."),
        lite_refuses("invalid", {"keyPath": "Text"}, "ServiceError", "Received invalid parameters."),
        lite_refuses("invalid", {"componentName": 1}, "ServiceError", "Received invalid parameters."),
        lite_refuses(
            "invalid", {"keyPath": TOO_DEEP}, "ServiceError", "Config path depth larger than supported."
        ),
        lite_refuses("failed", {"keyPath": DEEPEST}, "ResourceNotFoundError", "Key not found."),
        lite({"keyPath": TOO_DEEP[:1]}, _value({"k0": "x"}), configuration=wide),
        lite_refuses("failed", {}, "ServiceError", "", configuration=wide, **plain),
        lite({}, _value(wide_enough | {"accessControl": {}}), configuration=wide_enough, **plain),
        lite_refuses("failed", {}, "ServiceError", "", configuration=long, **plain),
        lite({}, _value(long_enough | {"accessControl": {}}), configuration=long_enough, **plain),
        lite_refuses(
            "failed", {}, "ServiceError", "", configuration={f"k{number}": "x" * 1000 for number in range(10)}
        ),
        lite(
            {},
            _value({f"k{number}": "x" * 1000 for number in range(9)} | {"accessControl": {}}),
            configuration={f"k{number}": "x" * 1000 for number in range(9)},
            **plain,
        ),
    ]


def _update_rows() -> list:
    both, _ = rows("UpdateConfiguration", BOTH, f"{_AGENT}; {_UPDATE}")
    classic, classic_refuses = rows("UpdateConfiguration", CLASSIC, _AGENT)
    lite, lite_refuses = rows("UpdateConfiguration", LITE, _UPDATE)
    stored, not_stored = rows("UpdateConfiguration", LITE, _STORE)
    fits, does_not_fit = rows("UpdateConfiguration", LITE, _SIZES)
    invalid = ("InvalidArgumentsError", "Received invalid parameters.")
    failed = ("ServiceError", "Failed to update the configuration.")
    restricted = "Config update is not allowed for following"
    policies = [_merge({"accessControl": {}}), _merge({"x": {}}, "accessControl")]
    return [
        both(_merge({"Text": "bye"}), changes={"Text": "bye", "Number": 10.5}, access=_NO_POLICIES),
        both(_merge({"New": {"x": []}}), changes={"New": {"x": []}}),
        both(
            _merge({"Other": "2", "New": {}}, "Nested"),
            changes={"Nested": {"Inner": {"Deep": True}, "Other": "2", "New": {}}},
        ),
        both(_merge({"Deep": 0.1}, "Brand", "New"), changes={"Brand": {"New": {"Deep": 0.1}}}),
        classic(_merge({"text": "bye"}), changes={"Text": "bye"}),
        lite(_merge({"text": "bye"}), changes={"Text": "hi", "text": "bye"}),
        classic_refuses(
            "invalid", {"valueToMerge": {"a": 1}}, "InvalidArgumentsError", "Timestamp is required"
        ),
        classic_refuses("invalid", {"timestamp": NOW_S}, "InvalidArgumentsError", "ValueToMerge is required"),
        lite_refuses("invalid", {"valueToMerge": {"a": 1}}, *invalid),
        lite_refuses("invalid", {"timestamp": NOW_S}, *invalid),
        lite_refuses("invalid", {"timestamp": 1795320717, "valueToMerge": {"a": 1}}, *invalid),
        lite_refuses("invalid", {"timestamp": NOW_S, "valueToMerge": {}, "keyPath": "Text"}, *invalid),
        lite_refuses("invalid", {"timestamp": NOW_S, "valueToMerge": {}, "keyPath": [1]}, *invalid),
        *(
            refuses("invalid", request, "InvalidArgumentsError", f"{restricted} {noun} [accessControl]")
            for refuses, noun in ((classic_refuses, "fields"), (lite_refuses, "field"))
            for request in policies
        ),
        lite_refuses(
            "failed", _merge({}, *TOO_DEEP), "ServiceError", "Config path depth larger than supported."
        ),
        classic_refuses(
            "failed",
            _merge({"Fresh": 1, "Text": "then"}, at_s=BEFORE_S),
            "FailedUpdateConditionCheckError",
            "Proposed timestamp is older than the config's latest modified timestamp",
            before=(_update({"Text": "now"}),),
            changes={"Text": "now", "Fresh": None},
        ),
        classic_refuses(
            "failed",
            _merge({"Text": "then"}, at_s=NOW_S + 0.2),
            "FailedUpdateConditionCheckError",
            before=(_update({"Text": "now"}, at_s=NOW_S + 0.3),),
            changes={"Text": "now"},
        ),
        stored(
            _merge({"Fresh": 1, "Text": "then"}, at_s=BEFORE_S),
            before=(_update({"Text": "now"}),),
            changes={"Text": "now", "Fresh": 1},
        ),
        stored(
            _merge({"Text": "then"}, at_s=NOW_S + 0.2),
            before=(_update({"Text": "now"}, at_s=NOW_S + 0.3),),
            changes={"Text": "now"},
        ),
        stored(_merge("bye", "Text"), changes={"Text": "bye"}),
        stored(_merge({}, "Nested"), changes={"Nested": CONFIGURATION["Nested"]}),
        not_stored("failed", _merge({"Text": {"a": 1}}), *failed, changes={"Text": "hi"}),
        not_stored("failed", _merge({"Text": {}}), *failed, changes={"Text": "hi"}),
        not_stored("failed", _merge({"Nested": 1}), *failed, changes={"Nested": CONFIGURATION["Nested"]}),
        not_stored("failed", _merge({"Empty": 1}), *failed, changes={"Empty": {}}),
        not_stored("failed", _merge(1), *failed),
        not_stored(
            "failed",
            _merge({"Zebra": 1, "Ant": 1, "Text": {"a": 1}}),
            *failed,
            changes={"Ant": 1, "Zebra": None},
        ),
        stored(_merge({"Text": "x" * 1022}), changes={"Text": "x" * 1022}),
        not_stored("failed", _merge({"Text": "x" * 1023}), *failed, changes={"Text": "hi"}),
        stored(_merge({"List": [0.5] * 50}), changes={"List": [0.5] * 50}),
        not_stored("failed", _merge({"List": [0.5] * 53}), *failed),
        fits(_merge({"List": [1] * 189}), changes={"List": [1] * 189}),
        does_not_fit("failed", _merge({"List": [1] * 190}), *failed),
    ]


def _subscribe() -> list:
    both, _ = rows("SubscribeToConfigurationUpdate", BOTH, f"{_AGENT}; {_SUBSCRIBE}")
    classic, classic_refuses = rows("SubscribeToConfigurationUpdate", CLASSIC, _AGENT)
    lite, lite_refuses = rows("SubscribeToConfigurationUpdate", LITE, _SUBSCRIBE)
    lost = ({"keyPath": ["None"]}, {"componentName": "com.none"})
    no_map = ("ServiceError", "Failed to validate the map.")
    return [
        both(
            {"keyPath": ["Nested"]},
            after=(
                _update({"Text": "other", "Nested": {"Other": 1}}),
                _update({"Nested": {"Inner": {"Deep": False}}}, at_s=LATER_S),
            ),
            events=(_changed("Nested", "Inner", "Deep"),),
            access=_NO_POLICIES,
        ),
        both(
            {},
            after=(_update({"Brand": {"New": [], "Old": None}, "Text": "bye"}),),
            events=(_changed("Brand", "New"), _changed("Brand", "Old"), _changed("Text")),
        ),
        both({"keyPath": ["Number"]}, after=(_update({"Number": 11.5}),), events=(_changed("Number"),)),
        both(
            {"keyPath": ["Nested", "Other"]},
            after=(_update({"Nested": {"Other": True}}),),
            events=(_changed("Nested", "Other"),),
        ),
        both({}, after=(_update({"List": ["one", 2, {"three": 3}]}),)),
        both({"componentName": "com.me"}, after=(_update({"Text": "bye"}),), events=(_changed("Text"),)),
        classic(
            {"keyPath": ["nested"]},
            after=(_update({"nested": {"other": 2}}),),
            events=(_changed("Nested", "Other"),),
        ),
        lite({"keyPath": ["Nested"]}, after=(_update({"nested": {"other": 2}}),)),
        lite({}, after=(_update({"b": 1, "a": 2}),), events=(_changed("a"), _changed("b"))),
        lite(
            {},
            before=(_update({"Text": "now"}),),
            after=(_update({"Text": "then", "Fresh": 1}, at_s=BEFORE_S),),
            events=(_changed("Fresh"),),
        ),
        *(classic_refuses("failed", request, "ResourceNotFoundError", "Key not found") for request in lost),
        *(lite_refuses("failed", request, "ResourceNotFoundError", "Key not found") for request in lost),
        classic_refuses("invalid", {"keyPath": [1]}, "InvalidArgumentsError"),
        lite_refuses("failed", {"keyPath": ["text"]}, "ResourceNotFoundError", "Key not found"),
        lite_refuses("invalid", {"keyPath": "Text"}, *no_map),
        lite_refuses("invalid", {"componentName": 1}, *no_map),
        lite_refuses(
            "invalid",
            {"keyPath": [1]},
            "ServiceError",
            "Received invalid parameters: keyPath must be list of strings.",
        ),
        lite_refuses(
            "invalid", {"keyPath": TOO_DEEP}, "ServiceError", "Config path depth larger than supported."
        ),
    ]


def _validation() -> list:
    subscribes, _ = rows("SubscribeToValidateConfigurationUpdates", CLASSIC, _AGENT)
    _, refuses = rows("SendConfigurationValidityReport", CLASSIC, _AGENT)
    report = {"status": "ACCEPTED", "deploymentId": "d"}
    return [
        subscribes({}, access=_NO_POLICIES, after=(_update({"Text": "bye"}),)),
        subscribes(
            {},
            deployed=("com.me",),
            configuration={"Number": 1},
            after=(
                Deployment(
                    {"Number": 2},
                    (Request("SendConfigurationValidityReport", {"configurationValidityReport": report}),),
                ),
            ),
            events=(
                {
                    "validateConfigurationUpdateEvent": {
                        "configuration": {"Number": 2, "accessControl": ALL_ALLOWED},
                        "deploymentId": "d",
                    }
                },
            ),
            changes={"Number": 2},
        ),
        refuses(
            "invalid",
            {"configurationValidityReport": report},
            "InvalidArgumentsError",
            "Validation request either timed out or was never made",
        ),
        refuses("invalid", {"configurationValidityReport": {}}, "InvalidArgumentsError"),
        refuses("invalid", {}, "InvalidArgumentsError"),
    ]


CASES = [*_get(), *_update_rows(), *_subscribe(), *_validation()]
