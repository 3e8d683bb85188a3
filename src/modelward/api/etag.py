"""Entity tags: a caller that has the answer already is told so in a few bytes."""

from hashlib import sha256


def etag(body: bytes) -> str:
    """The strong tag of a body."""
    return f'"{sha256(body).hexdigest()[:32]}"'


def matches(wanted: str, tag: str) -> bool:
    """Whether ``If-None-Match`` names this tag (weak comparison, RFC 9110 section 13.1.2)."""
    if not wanted:
        return False
    named = [part.strip().removeprefix("W/") for part in wanted.split(",")]
    return "*" in named or tag in named
