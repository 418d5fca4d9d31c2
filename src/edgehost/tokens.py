"""The tokens (SVCUID) that tell which component a connection speaks for."""

from __future__ import annotations

import secrets


class Tokens:
    """Those that are good now. ``keeps``: whether a component has one for as long as the nucleus runs."""

    def __init__(self, *, keeps: bool) -> None:
        self._keeps = keeps
        self._tokens: dict[str, str] = {}

    def issue(self, component: str) -> str:
        """A component's token: a new one, and those issued to it before are void, or the one that it keeps."""
        if not self._keeps:
            self.revoke(component)
        token = self._tokens.get(component) or secrets.token_hex(8).upper()
        self._tokens[component] = token
        return token

    def owner(self, token: str) -> str | None:
        """The component that a good token was issued to."""
        return next((component for component, good in self._tokens.items() if good == token), None)

    def revoke(self, component: str) -> None:
        """No connection is accepted for the component any more."""
        self._tokens.pop(component, None)

    def void(self) -> None:
        """No token issued until now is good any more."""
        self._tokens.clear()
