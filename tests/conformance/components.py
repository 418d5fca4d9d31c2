"""State, updates, restarts, deployments, tokens; and the operations that a nucleus doesn't serve."""

from __future__ import annotations

from conformance.case import CLASSIC, LITE, NOTHING_ALLOWED, Case, Deployment, Payload, Request, rows

_AGENT = "nucleus: LifecycleIPCEventStreamAgent.java"
_STATE = "lite: ggipcd/src/services/lifecycle/update_state.c, gghealthd/src/health.c"
_RESTART = "lite: ggipcd/src/services/cli/restart_component.c"
_DEPLOY = "lite: ggipcd/src/services/cli/create_local_deployment.c, ggdeploymentd/src/deployment_queue.c"
_TOKEN = "lite: ggipcd/src/services/authorizationagent/token_validator.c"  # a source, no secret
_DISPATCH = "nucleus: the SDK's GreengrassCoreIPCService; lite: ggipcd/src/ipc_dispatch.c, captured frame 15"

SERVED = {
    "classic": {
        "GetConfiguration",
        "UpdateConfiguration",
        "SubscribeToConfigurationUpdate",
        "SubscribeToValidateConfigurationUpdates",
        "SendConfigurationValidityReport",
        "PublishToTopic",
        "SubscribeToTopic",
        "PublishToIoTCore",
        "SubscribeToIoTCore",
        "UpdateState",
        "SubscribeToComponentUpdates",
        "DeferComponentUpdate",
    },
    "lite": {
        "GetConfiguration",
        "UpdateConfiguration",
        "SubscribeToConfigurationUpdate",
        "PublishToTopic",
        "SubscribeToTopic",
        "PublishToIoTCore",
        "SubscribeToIoTCore",
        "UpdateState",
        "RestartComponent",
        "CreateLocalDeployment",
        "ValidateAuthorizationToken",
    },
}
"""What each nucleus serves to components. Classic's other operations belong to components that are not played:
aws.greengrass.Cli, the secret and shadow managers, client device authentication, telemetry; pausing needs cgroups."""


def unsupported(operations: set[str]) -> list[Case]:
    """A row for each of the SDK's operations that a nucleus doesn't serve."""
    return [
        Case((profile,), "unsupported", operation, {}, _DISPATCH, error="ServiceError", message=message)
        for profile, message in (("classic", None), ("lite", ""))
        for operation in sorted(operations - SERVED[profile])
    ]


_LITE_STATES = ("NEW", "INSTALLED", "STARTING", "RUNNING", "ERRORED", "BROKEN", "STOPPING", "FINISHED")


def _states() -> list[Case]:
    classic, classic_refuses = rows("UpdateState", CLASSIC, _AGENT)
    lite, lite_refuses = rows("UpdateState", LITE, _STATE)
    deployed = {"deployed": ("com.me",), "access": NOTHING_ALLOWED}
    not_updated = ("ServiceError", "Failed to update the lifecycle state.")
    return [
        classic({"state": "RUNNING"}, **deployed),
        classic_refuses(
            "failed", {"state": "RUNNING"}, "ResourceNotFoundError", "Service with given name not found"
        ),
        classic_refuses("invalid", {"state": "SLEEPY"}, "InvalidArgumentsError"),
        *(lite({"state": state}, **deployed) for state in _LITE_STATES),
        lite_refuses("failed", {"state": "RUNNING"}, *not_updated),
        lite_refuses("failed", {"state": "SLEEPY"}, *not_updated, deployed=("com.me",)),
        lite_refuses("invalid", {}, "ServiceError", "Received invalid parameters."),
        lite_refuses("invalid", {"state": 1}, "ServiceError", "Received invalid parameters."),
    ]


def _updates() -> list[Case]:
    subscribes, subscribe_refuses = rows("SubscribeToComponentUpdates", CLASSIC, _AGENT)
    _, defer_refuses = rows("DeferComponentUpdate", CLASSIC, _AGENT)
    before = {"preUpdateEvent": {"deploymentId": "d", "isGgcRestarting": False}}
    after = {"postUpdateEvent": {"deploymentId": "d"}}
    wait, go_on = (
        Request("DeferComponentUpdate", {"deploymentId": "d", "recheckAfterMs": delay_ms})
        for delay_ms in (1, 0)
    )
    return [
        subscribes(
            {},
            access=NOTHING_ALLOWED,
            deployed=("com.me",),
            after=(Deployment({"Number": 2}, (wait, go_on)),),
            events=(before, before, after),
        ),
        subscribe_refuses(
            "failed",
            {},
            "ResourceNotFoundError",
            "Service with given name not found currently in Greengrass",
        ),
        defer_refuses(
            "invalid",
            {"deploymentId": "d", "recheckAfterMs": 1},
            "InvalidArgumentsError",
            "Component is not subscribed to component update events",
        ),
        defer_refuses("invalid", {"recheckAfterMs": 1}, "InvalidArgumentsError"),
        defer_refuses(
            "failed",
            {"deploymentId": "d", "recheckAfterMs": 1},
            "ServiceError",
            "Time limit to respond to PreComponentUpdateEvent exceeded",
            deployed=("com.me",),
            before=(Request("SubscribeToComponentUpdates", {}),),
        ),
    ]


def _restarts() -> list[Case]:
    answers, refuses = rows("RestartComponent", LITE, _RESTART)
    unauthorized = ("UnauthorizedError", "Component not authorized to restart component.")
    return [
        answers({"componentName": "com.other"}, {"restartStatus": "SUCCEEDED"}, deployed=("com.other",)),
        answers(
            {"componentName": "com.other"},
            {"restartStatus": "SUCCEEDED"},
            deployed=("com.other",),
            access=_granted("RestartComponent", "com.other"),
        ),
        refuses("denied", {"componentName": "com.other"}, *unauthorized, access=NOTHING_ALLOWED),
        refuses(
            "denied",
            {"componentName": "com.other"},
            *unauthorized,
            access=_granted("RestartComponent", "com.me"),
        ),
        refuses(
            "denied",
            {"componentName": "com.other"},
            *unauthorized,
            access=_granted("CreateLocalDeployment", "*"),
        ),
        refuses("failed", {"componentName": "com.none"}, "ResourceNotFoundError", "Component not found."),
        refuses("invalid", {}, "InvalidArgumentsError", "Invalid arguments provided."),
        refuses("invalid", {"componentName": 1}, "InvalidArgumentsError", "Invalid arguments provided."),
    ]


def _deployments() -> list[Case]:
    answers, refuses = rows("CreateLocalDeployment", LITE, _DEPLOY)
    failed = ("ServiceError", "Failed to create local deployment.")
    bad_config = ("ServiceError", "Invalid componentToConfiguration value.")
    add = {"rootComponentVersionsToAdd": {"a": "1.0.0"}}
    return [
        answers(add, {"deploymentId": "d"}),
        answers({}, {"deploymentId": "d"}, access=_granted("CreateLocalDeployment", "*")),
        refuses("denied", add, "ServiceError", "IPC Operation not authorized.", access=NOTHING_ALLOWED),
        refuses("invalid", {"rootComponentVersionsToAdd": ["a"]}, *failed),
        refuses("invalid", {"rootComponentVersionsToAdd": {"a": 1}}, *failed),
        refuses("invalid", {"rootComponentVersionsToRemove": {"a": "1.0.0"}}, *failed),
        answers({"rootComponentsToRemove": ["com.me"]}, {"deploymentId": "d"}),
        refuses("invalid", {"recipeDirectoryPath": 1}, *failed),
        refuses("invalid", {"componentToConfiguration": {"a": {"MERGE": "{"}}}, *bad_config),
        refuses("invalid", {"componentToConfiguration": {"a": 1}}, *bad_config),
        refuses("invalid", {"componentToConfiguration": {"a": {"RESET": {}}}}, *failed),
    ]


def _tokens() -> list[Case]:
    answers, refuses = rows("ValidateAuthorizationToken", LITE, _TOKEN)
    manager = {"by": "aws.greengrass.StreamManager"}
    message = "Invalid token used by stream manager when trying to authorize."
    return [
        answers({"token": "TOKEN"}, {"isValid": True}, **manager),
        refuses(
            "denied",
            {"token": "TOKEN"},
            "UnauthorizedError",
            "Component does not have access to token verification IPC command.",
        ),
        refuses("failed", {"token": "no token"}, "InvalidTokenError", message, **manager),
        refuses("invalid", {}, "ServiceError", "Received invalid parameters.", **manager),
    ]


def _granted(operation: str, resource: str) -> Payload:
    policy = {"operations": [f"aws.greengrass#{operation}"], "resources": [resource]}
    return {"aws.greengrass.Cli": {"p": policy}}


CASES = [*_states(), *_updates(), *_restarts(), *_deployments(), *_tokens()]
