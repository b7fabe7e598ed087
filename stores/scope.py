"""Which mini programs somebody may see, and how the statements of lists are told so."""

from typing import Any

Scope = tuple[str, ...] | None  # their appids; None for all, also those to come


def within(scope: Scope) -> dict[str, Any]:
    """The parameters `anywhere` and `appids`."""
    return {"anywhere": int(scope is None), "appids": list(scope or ())}
