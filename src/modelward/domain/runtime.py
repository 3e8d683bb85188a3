"""What a runtime says of itself, as values."""

import msgspec


class ServedModel(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the server's list: name as the server shows it, manifest digest (hex) and bytes."""

    name: str
    digest: str
    size: int
