"""What a caller sent, read into the types that its operation names; anything else is refused with the reason."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from modelward.api.problem import BadRequest, Unfit, WrongMediaType
from modelward.domain.codec import learned
from modelward.domain.digest import Digest
from modelward.domain.errors import ModelwardError
from modelward.domain.name import ModelName

_MOST_FIELDS = 40


def query_of(raw: bytes, kind: type[msgspec.Struct]) -> Any:  # noqa: ANN401 - of the type that was asked for
    """The parameters behind the question mark; raises Unfit for unknown, doubled or unfit ones."""
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS)
    except ValueError as error:
        raise BadRequest("the parameters cannot be read", next_step="write name=value, in UTF-8") from error
    given = dict(pairs)
    if len(given) != len(pairs):
        raise Unfit("a parameter stands there twice", next_step="give each parameter once")
    found = _convert(given, kind, strict=False)
    for name in given:
        if getattr(found, name) is None:  # msgspec reads the word null as nothing
            raise Unfit("not a value", thing=name, next_step="leave the parameter out, or give it a value")
    return found


def body_of(raw: bytes, headers: Mapping[str, str], kind: type[msgspec.Struct] | None) -> Any:  # noqa: ANN401 - as above
    """The JSON body; raises WrongMediaType for another type, BadRequest for what is no JSON, Unfit for other fields."""
    if kind is None:
        if raw:
            raise BadRequest("this operation takes no body", next_step="send none")
        return None
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise WrongMediaType("the body is not marked as JSON", next_step="send Content-Type: application/json")
    try:
        return _convert(msgspec.json.decode(raw), kind, strict=True)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"no JSON ({error})", next_step="send one JSON object") from error


def _convert(given: object, kind: type[msgspec.Struct], *, strict: bool) -> Any:  # noqa: ANN401 - as above
    try:
        return msgspec.convert(given, learned(kind), strict=strict, dec_hook=_from_text)
    except (msgspec.ValidationError, RecursionError, OverflowError) as error:
        raise Unfit(str(error)[:300], next_step="see /api/v1/openapi.json for the fields") from error


def _from_text(kind: type[Any], value: object) -> object:
    if kind in (Digest, ModelName) and isinstance(value, str):
        try:
            return kind.parse(value)
        except ModelwardError as error:
            raise ValueError(str(error)) from error
    raise TypeError(f"no form for {kind.__name__}")
