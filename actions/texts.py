"""What people type in."""

import unicodedata


def has_controls(text: str) -> bool:
    """Whether something stands in it that is no character to be seen: a control, or half of a surrogate pair."""
    return any(unicodedata.category(character) in ("Cc", "Cs") for character in text)
