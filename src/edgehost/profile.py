"""The two nuclei that the host plays, and where they differ: classic (Java) and Greengrass Lite (C).

A difference is a value here, or a module in ``edgehost.classic`` beside one in ``edgehost.lite``. docs/profiles.md
lists them all, each with its test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgehost import classic, lite
from edgehost.connection import Wire
from edgehost.lifecycle import Upkeep
from edgehost.lite.manifest import choose
from edgehost.recipe import Rules
from edgehost.services import Serve


@dataclass(frozen=True, slots=True)
class Profile:
    """One nucleus. ``version`` is what components see as GGC_VERSION."""

    name: str
    version: str
    wire: Wire
    rules: Rules
    upkeep: Upkeep
    serve: Serve
    ignores_key_case: bool
    """Whether configuration keys compare without case."""
    restarts_on_configuration: bool
    """Whether a deployment that changes a component's configuration restarts it, or tells it by an event."""
    fills_in_policies: bool
    """Whether ``{iot:thingName}`` in accessControl stands for the thing's name."""
    built_in: Mapping[str, str | None]
    """Components that recipes may depend on though nobody deploys them, with their versions; None: any will do."""


CLASSIC = Profile(
    name="classic",
    version="2.14.0",
    wire=Wire(),
    rules=Rules(),
    upkeep=Upkeep(),
    serve=classic.serve,
    ignores_key_case=True,
    restarts_on_configuration=False,
    fills_in_policies=False,
    built_in={"aws.greengrass.Nucleus": "2.14.0", "aws.greengrass.TokenExchangeService": "2.0.3"},
)
LITE = Profile(
    name="lite",
    version="2.6.0",
    wire=Wire(terminates_replies=False, max_frame_bytes=10_012),
    rules=Rules(
        choose=choose,
        max_bytes=8_196,
        formats=(None, "2020-01-25"),
        ignores_key_case=False,
        types_scalars=False,
        steps=("bootstrap", "install", "startup", "run"),
        skips=False,
        default_dependency="SOFT",
        is_typed=True,
        braces_are_variables=True,
        escapes_values=True,
        path_end="/",
    ),
    upkeep=Upkeep(
        retry_delay_s=1.0,
        stop_grace_s=120.0,
        counts_starts=True,
        limits_run=False,
        installs_again=False,
        notifies_startup=True,
        heeds_errored=False,
    ),
    serve=lite.serve,
    ignores_key_case=False,
    restarts_on_configuration=True,
    fills_in_policies=True,
    # ggdeploymentd passes over these, whatever version is required.
    built_in=dict.fromkeys(
        ("aws.greengrass.Nucleus", "aws.greengrass.TokenExchangeService", "aws.greengrass.Cli")
    ),
)
PROFILES: Mapping[str, Profile] = {profile.name: profile for profile in (CLASSIC, LITE)}
