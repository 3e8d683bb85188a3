"""What is asked of sources and what they answer, as values."""

from typing import NamedTuple

from modelward.domain.digest import Digest
from modelward.domain.name import ModelName
from modelward.domain.receipt import Receipt


class Wanted(NamedTuple):
    """A blob that somebody needs: its digest, its size in bytes, and the models that name it."""

    blob: Digest
    size: int
    models: tuple[ModelName, ...] = ()


class LocalFile(NamedTuple):
    """An open file with a blob's bytes, and the receipt that vouches for it, when there is one."""

    fd: int
    receipt: Receipt | None = None
