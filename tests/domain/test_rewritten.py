"""A manifest written anew is the very one that was lost, or none."""

import json
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelward.domain.digest import Digest
from modelward.domain.manifest import Manifest
from modelward.domain.rewritten import rewrite
from modelward.domain.wrapper import Wrapper, unwrap, wrap
from tests.domain.strategies_domain import CONFIG_TYPE, MEDIA_TYPES, compact, digest, document, layer

STORE = "/srv/ollama"
LAYERS = tuple(layer(number, 100 * number, kind) for number, kind in enumerate(MEDIA_TYPES, start=1))
CONFIG = layer(99, 480, CONFIG_TYPE)


def wrapped(raw: bytes) -> Wrapper:
    """What the vault's wrapper of this manifest tells."""
    return unwrap(wrap(Manifest.parse(raw), {}))


def blob_path(store: str, item: dict[str, object]) -> str:
    """How `ollama create` calls a layer that it took from a file of the store."""
    return f"{store}/blobs/{str(item['digest']).replace(':', '-')}"


@settings(max_examples=50)
@given(
    layers=st.lists(st.sampled_from(LAYERS), max_size=9, unique_by=lambda item: str(item["digest"])),
    end=st.sampled_from([b"", b"\n"]),
    swapped=st.booleans(),
)
def test_what_a_registry_sent_or_create_wrote_comes_back(
    layers: list[dict[str, object]], end: bytes, *, swapped: bool
) -> None:
    """Of any layers, with and without the line's end, with the digest or the media type first."""
    keys = ("digest", "mediaType", "size") if swapped else ("mediaType", "digest", "size")
    config, *others = ({key: item[key] for key in keys} for item in (CONFIG, *layers))
    raw = compact(document(others, config=None) | {"config": config})
    raw = compact({key: json.loads(raw)[key] for key in ("schemaVersion", "mediaType", "config", "layers")}) + end
    assert rewrite(wrapped(raw)) == raw


@settings(max_examples=50)
@given(st.sets(st.integers(0, 5)), st.sampled_from(["llama3:latest", "hf.co/a/b:Q4_K_M", "user/own:7b"]))
def test_layers_of_another_model_are_found_by_its_name(inherited: set[int], name: str) -> None:
    """`FROM llama3` keeps some layers of that model, and each says so; the wrapper does not know which."""
    layers = [item | ({"from": name} if number in inherited else {}) for number, item in enumerate(LAYERS[:6])]
    raw = compact(document(layers, CONFIG)) + b"\n"
    assert rewrite(wrapped(raw), names=["mistral:latest", name]) == raw
    assert rewrite(wrapped(raw), names=["mistral:latest"]) == (None if inherited else raw)


@pytest.mark.parametrize("store", [STORE, "/root/.ollama/models", "/usr/share/ollama/.ollama/models"])
def test_layers_of_files_are_found_by_the_path_that_the_server_saw(store: str) -> None:
    """The store's own path, and those of Ollama in a container and as a service, where the vault saw another one."""
    weights, template = LAYERS[0], LAYERS[3]
    raw = compact(document([weights | {"from": blob_path(store, weights)}, template], CONFIG)) + b"\n"
    assert rewrite(wrapped(raw), store=STORE) == raw


def test_what_is_left_tells_where_layers_came_from() -> None:
    """A flipped bit leaves the origin to be read, and so do other versions of the model."""
    weights = LAYERS[0]
    raw = compact(document([weights | {"from": blob_path("/mnt/far", weights)}, LAYERS[1]], CONFIG))
    rotten = raw.replace(b'"size":100', b'"size":900')
    assert rewrite(wrapped(raw)) is None
    assert rewrite(wrapped(raw), rest=[b"\xff\xfe", rotten]) == raw
    older = compact(document([LAYERS[5] | {"from": blob_path("/mnt/far", LAYERS[5])}], CONFIG))
    assert rewrite(wrapped(raw), rest=[older]) == raw


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(json.dumps(document(list(LAYERS), CONFIG), indent=3).encode(), id="other blanks"),
        pytest.param(compact(document(list(LAYERS), CONFIG, annotations={"a": "b"})), id="a key of its own"),
        pytest.param(compact(document([LAYERS[0] | {"name": "w"}], CONFIG)), id="a tensor's name"),
        pytest.param(compact(document([LAYERS[0], LAYERS[0]], CONFIG)), id="a layer twice"),
        pytest.param(compact(document([])), id="nothing at all"),
        pytest.param(compact(document([LAYERS[0]])), id="no config"),
    ],
)
def test_what_cannot_be_known_is_not_made_up(raw: bytes) -> None:
    """The digest decides: no other bytes are ever given."""
    assert rewrite(wrapped(raw), [raw[: len(raw) // 2]], ["llama3:latest"], STORE) is None


@settings(max_examples=50)
@given(st.binary(max_size=300), st.text(max_size=20), st.integers(0, 2000))
def test_no_rest_and_no_name_leads_to_wrong_bytes(rest: bytes, name: str, size: int) -> None:
    """Whatever is guessed, what comes out has the digest, or nothing comes out."""
    raw = compact(document([LAYERS[0] | {"from": "known:1"}], CONFIG))
    made = rewrite(wrapped(raw), [rest, b'"from":"' + rest + b'"'], [name, "known:1"])
    assert made == raw
    lost = compact(document([layer(1, size) | {"from": name + "!"}], CONFIG))
    found = rewrite(wrapped(lost), [rest], [name])
    assert found is None or Digest(sha256(found).hexdigest()) == Manifest.parse(lost).digest


def test_a_search_has_an_end() -> None:
    """A manifest of hundreds of layers of which some are from elsewhere is not tried in every combination."""
    layers = [layer(number) | ({"from": "a:b"} if number % 2 else {}) for number in range(1, 400)]
    raw = compact(document(layers, layer(500, 480, CONFIG_TYPE)))
    assert rewrite(wrapped(raw), names=["a:b"]) is None
    every = compact(document([item | {"from": "a:b"} for item in layers], CONFIG | {"digest": str(digest(501))}))
    assert rewrite(wrapped(every), names=["a:b"]) == every
