"""When the vents of a greenhouse are to be open."""


def decide(celsius: float, open_above: float) -> str:
    """``open`` or ``closed``."""
    return "open" if celsius > open_above else "closed"
