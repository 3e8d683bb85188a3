"""What a runtime says of itself, as values."""

import msgspec


class ServedModel(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the server's list: name as the server shows it, manifest digest (hex) and bytes."""

    name: str
    digest: str
    size: int


class ModelCard(msgspec.Struct, frozen=True, kw_only=True):
    """What the server says of one model.

    ``store`` is the folder that the server reads it from, as its modelfile gives it away (``FROM
    <store>/blobs/sha256-...``); empty where it does not. ``capabilities`` are the server's words: completion,
    embedding, thinking, vision, tools.
    """

    store: str = ""
    capabilities: tuple[str, ...] = ()
    family: str = ""
    format: str = ""
    remote_host: str = ""


class PullStep(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the server's progress; bytes are of the blob ``digest`` (``sha256:...``), where it names one."""

    status: str
    digest: str = ""
    total: int = 0
    completed: int = 0


class ProbeResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one probe: ``outcome`` is ok, busy, refused, timeout or unreachable.

    Busy says nothing about the model: the server's queue was full, or the time ran out for a model that was surely
    answering someone else when the probe began (``Runtime.busy``).
    ``seconds`` is how long it took, ``loaded`` whether the model was in memory before, ``why`` what went wrong.
    """

    outcome: str
    seconds: float
    loaded: bool = False
    answer: str = ""
    why: str = ""
