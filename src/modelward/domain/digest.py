"""The one type for a blob's name: SHA-256, 64 lower-case hex digits (T1)."""

import re
from typing import Self

from modelward.domain.errors import BadDigest

_FORM = re.compile(r"sha256:[0-9a-f]{64}\Z")


class Digest(str):
    """A SHA-256 in the form ``sha256:<64 lower-case hex digits>``; every path below a root is built from one.

    A text, so that it compares, sorts and hashes at the speed of text; made from its hex digits.
    """

    __slots__ = ()

    def __new__(cls, hex_digits: str) -> Self:
        """Make it from 64 lower-case hex digits; raises BadDigest."""
        return cls.parse(f"sha256:{hex_digits}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``sha256:<hex>``; any other form raises BadDigest."""
        if not _FORM.match(text):
            raise BadDigest(
                "not a SHA-256 digest",
                thing=repr(text[:80]),
                next_step="give sha256: and 64 lower-case hex digits",
            )
        return super().__new__(cls, text)

    @property
    def hex(self) -> str:
        """The 64 hex digits."""
        return self[7:]

    @property
    def short(self) -> str:
        """The first 12 hex digits, as Ollama shows a model's id."""
        return self[7:19]

    @property
    def raw(self) -> bytes:
        """The 32 bytes of the hash."""
        return bytes.fromhex(self[7:])
