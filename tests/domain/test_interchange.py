"""References of registries, proofs of wrappers from elsewhere, GGUF headers within limits, and Modelfiles."""

import io
import json
import struct
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelward.domain.chunks import CHUNK, ChunkList
from modelward.domain.digest import Digest
from modelward.domain.errors import BadName, BadObject, BadSetting, HashMismatch
from modelward.domain.gguf import GgufHeader, read_header
from modelward.domain.interchange import Reference, model_of, open_list, open_parcel, open_wrapper
from modelward.domain.manifest import Layer, Manifest
from modelward.domain.modelfile import LooseFile, build_manifest, loose_files, modelfile, stem_of
from modelward.domain.name import ModelName
from modelward.domain.wrapper import Object, wrap
from modelward.testing import tiny_gguf
from tests.models import digest_of, make_model, pattern

GGUF = tiny_gguf()
DIGEST = Digest("a" * 64)
WORDS = st.from_regex(r"[a-z0-9]{1,9}(?:(?:\.|_|__|-{1,2})[a-z0-9]{1,9}){0,2}", fullmatch=True)
HOSTS = st.from_regex(r"[a-z0-9]{1,9}(?:\.[a-z]{1,5})?(?::[0-9]{1,5})?", fullmatch=True)
TAGS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,30}", fullmatch=True)


@given(HOSTS, st.lists(WORDS, min_size=1, max_size=4), TAGS, st.booleans())
def test_a_reference_reads_back_as_it_is_written(host: str, words: list[str], tag: str, pinned: bool) -> None:  # noqa: FBT001 - drawn
    """Every reference has one text form, and the text gives the reference."""
    made = Reference(host=host, repository="/".join(words), tag=tag, digest=DIGEST if pinned else None)
    assert Reference.parse(str(made)) == made


@pytest.mark.parametrize(
    ("text", "host", "repository", "reference"),
    [
        ("localhost:5000/llama3", "localhost:5000", "llama3", "latest"),
        ("ghcr.io/me/models/llama3:8b-Q4_K_M", "ghcr.io", "me/models/llama3", "8b-Q4_K_M"),
        ("[::1]:5000/a", "[::1]:5000", "a", "latest"),
        (f"host/a@{DIGEST}", "host", "a", str(DIGEST)),
        (f"host/a:tag@{DIGEST}", "host", "a", str(DIGEST)),
    ],
)
def test_forms_of_a_reference(text: str, host: str, repository: str, reference: str) -> None:
    """Ports, folders, tags and digests, as the distribution specification has them."""
    found = Reference.parse(text)
    assert (found.host, found.repository, found.reference) == (host, repository, reference)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "llama3",
            "host/",
            "/a",
            "host/A",
            "host/a:",
            "host/a:b/c:d",
            "host/../a",
            "host/a//b",
            "host/a@sha256:1",
        ),
        *("https://host/a", "host/a b", "host/a\nb", "ho st/a", "host/a?x=1", "user:pass@host/a", "host/" + "a" * 256),
        *("host/a:" + "b" * 129, "host:123456/a", "host/a\0", "host/%2e%2e/a"),
    ],
)
def test_what_is_no_reference(text: str) -> None:
    """Everything else is refused with the form to write."""
    with pytest.raises(BadName) as error:
        Reference.parse(text)
    assert error.value.next_step


@given(st.text(max_size=60))
def test_any_text_is_a_reference_or_a_typed_error(text: str) -> None:
    """No text breaks the parser."""
    try:
        Reference.parse(text)
    except BadName:
        return
    assert "/" in text


def test_the_model_behind_a_reference() -> None:
    """The repository's last word and the tag are the model's name."""
    assert Reference.parse("host:1/backups/llama3:8b").model == ModelName.parse("llama3:8b")
    assert Reference.parse(f"host/llama3@{DIGEST}").model == ModelName.parse("llama3")


def parcel(*layers: bytes) -> tuple[bytes, Manifest, dict[Digest, ChunkList]]:
    """A wrapper, its manifest, and its chunk lists (of made-up hashes)."""
    model = make_model("llama3", *layers)
    lists = {
        blob.digest: ChunkList(blob=blob.digest, size=blob.size, hashes=bytes(32 * -(-blob.size // CHUNK)))
        for blob in model.manifest.blobs
        if blob.size > CHUNK
    }
    objects = {
        blob: Object(digest=digest_of(found.encode()), size=len(found.encode())) for blob, found in lists.items()
    }
    return wrap(model.manifest, objects), model.manifest, lists


def test_a_wrapper_of_ours_is_proved() -> None:
    """Wrapper, manifest and chunk lists that belong together come out as they went in."""
    raw, manifest, lists = parcel(pattern(CHUNK + 1), b"small", b"")
    opened = open_parcel(raw, manifest.raw)
    assert (opened.manifest, opened.digest) == (manifest, digest_of(raw))
    ((blob, found),) = lists.items()
    assert open_list(opened, blob, found.encode()) == found
    assert open_wrapper(raw, digest_of(raw)) == opened.wrapper


def test_what_does_not_belong_together_is_refused() -> None:
    """Another manifest, another list, another digest, a list of another blob."""
    raw, manifest, lists = parcel(pattern(CHUNK + 1), b"small")
    opened = open_parcel(raw, manifest.raw)
    with pytest.raises(HashMismatch):
        open_parcel(raw, manifest.raw + b"\n")
    with pytest.raises(HashMismatch):
        open_wrapper(raw, DIGEST)
    ((blob, found),) = lists.items()
    with pytest.raises(HashMismatch):
        open_list(opened, blob, found.encode()[:-1] + b"x")
    foreign = ChunkList(blob=DIGEST, size=found.size, hashes=found.hashes).encode()
    listed = wrap(manifest, {blob: Object(digest=digest_of(foreign), size=len(foreign))})
    with pytest.raises(BadObject):
        open_list(open_parcel(listed, manifest.raw), blob, foreign)


@given(st.binary(max_size=300))
@example(b"[" * 200)
@example(b'{"artifactType":"application/vnd.modelward.model.v1","layers":[{"digest":"sha256:0","size":1}]}')
def test_bytes_that_are_no_wrapper(raw: bytes) -> None:
    """Noise is a typed error."""
    with pytest.raises(BadObject):
        open_wrapper(raw)


@given(st.text(max_size=120))
def test_a_files_name_gives_a_models_name_or_says_so(stem: str) -> None:
    """Whatever a file is called, the name that follows is one that a store may hold."""
    try:
        name = model_of(stem)
    except BadName as error:
        assert "--as-name" in error.next_step
        return
    assert ModelName.parse(str(name)) == name


def test_names_of_files() -> None:
    """What a name may not hold becomes a dash; the default tag is no part of the model's name."""
    assert model_of("Llama-3.1 8B (Q4)") == ModelName.parse("Llama-3.1-8B-Q4")
    assert model_of("llama3-latest") == ModelName.parse("llama3")
    assert model_of("x", ModelName.parse("given:1")) == ModelName.parse("given:1")
    assert stem_of(ModelName.parse("hf.co/a/b:Q4")) == "b-Q4"


# GGUF headers.


def header_of(data: bytes) -> GgufHeader:
    """Read from memory."""
    return read_header(lambda offset, length: data[offset : offset + length], len(data))


def test_the_header_of_a_real_file(tmp_path: Path) -> None:
    """Architecture, file type and number of parameters, as the file and the reference reader have them."""
    from gguf import GGUFReader

    path = tmp_path / "tiny.gguf"
    path.write_bytes(GGUF)
    found = header_of(GGUF)
    assert (found.version, found.architecture, found.kind, found.file_type) == (3, "llama", "", "F32")
    assert found.parts == 1
    reader = GGUFReader(str(path))
    assert found.parameters == sum(int(tensor.n_elements) for tensor in reader.tensors)


def test_the_sizes_of_tensor_types_are_those_of_the_reference() -> None:
    """Every type that the reference package knows ends where it says."""
    from gguf.constants import GGML_QUANT_SIZES

    for kind, (block, width) in GGML_QUANT_SIZES.items():
        data = made(tensors=[("t", (block * 4,), int(kind), 0)])
        whole = data + bytes(-len(data) % 32) + bytes(4 * width)
        assert header_of(whole).parameters == 4 * block
        with pytest.raises(BadObject, match="cut short"):
            header_of(whole[:-1])


def text(word: bytes) -> bytes:
    """A string as GGUF has it."""
    return struct.pack("<Q", len(word)) + word


def made(
    keys: list[tuple[bytes, bytes]] | None = None,
    tensors: list[tuple[str, tuple[int, ...], int, int]] | None = None,
    version: int = 3,
) -> bytes:
    """A header of these keys (name, kind and value packed) and tensors (name, dimensions, type, offset)."""
    out = io.BytesIO()
    out.write(struct.pack("<4sIQQ", b"GGUF", version, len(tensors or ()), len(keys or ())))
    for name, value in keys or ():
        out.write(text(name) + value)
    for label, dimensions, kind, offset in tensors or ():
        shape = struct.pack(f"<I{len(dimensions)}Q", len(dimensions), *dimensions)
        out.write(text(label.encode()) + shape + struct.pack("<IQ", kind, offset))
    return out.getvalue()


U32 = struct.pack("<I", 4)
STRING = struct.pack("<I", 8)
HOSTILE = {
    "nothing": b"",
    "magic only": b"GGUF",
    "another magic": b"GGML" + GGUF[4:],
    "version 1": made(version=1),
    "big-endian": struct.pack(">4sIQQ", b"GGUF", 3, 0, 0),
    "too many keys": struct.pack("<4sIQQ", b"GGUF", 3, 0, 1 << 60),
    "too many tensors": struct.pack("<4sIQQ", b"GGUF", 3, 1 << 60, 0),
    "a huge key": struct.pack("<4sIQQQ", b"GGUF", 3, 0, 1, 1 << 62),
    "a huge text": made([(b"a", STRING + struct.pack("<Q", 1 << 62))]),
    "a huge list": made([(b"a", struct.pack("<IIQ", 9, 4, 1 << 62))]),
    "a huge list of texts": made([(b"a", struct.pack("<IIQ", 9, 8, 1 << 62))]),
    "empty lists in lists": made([(b"a", struct.pack("<IIQ", 9, 9, 1 << 40))]),
    "lists in lists": made([(b"a", struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 60)]),
    "an unknown kind": made([(b"a", struct.pack("<IQ", 77, 1))]),
    "a key twice": made([(b"general.file_type", U32 + bytes(4))] * 2),
    "a text for a number": made([(b"general.file_type", STRING + text(b"x"))]),
    "a number for a text": made([(b"general.architecture", U32 + bytes(4))]),
    "a list for a text": made([(b"general.architecture", struct.pack("<IIQ", 9, 4, 0))]),
    "an escape for a text": made([(b"general.architecture", STRING + text(b"\x1b[2J"))]),
    "no alignment": made([(b"general.alignment", U32 + bytes(4))]),
    "many dimensions": made(tensors=[("t", (1,) * 9, 0, 0)]),
    "a tensor behind the end": made(tensors=[("t", (1,), 0, 1 << 40)]),
    "an endless tensor": made(tensors=[("t", ((1 << 64) - 1,) * 4, 0, 0)]),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_header_is_refused(data: bytes) -> None:
    """Every count, length and depth has a limit, and what is cut short is said to be no whole file."""
    with pytest.raises(BadObject, match="not a whole GGUF file"):
        header_of(data)


@given(st.integers(0, len(GGUF) - 1))
def test_a_file_cut_anywhere_is_not_whole(end: int) -> None:
    """A truncated download is found by its header alone."""
    with pytest.raises(BadObject):
        header_of(GGUF[:end])


@given(st.integers(0, 8000), st.binary(min_size=1, max_size=16))
def test_a_garbled_header_is_read_or_refused(offset: int, noise: bytes) -> None:
    """No damage of a header breaks the reader."""
    try:
        header_of(GGUF[:offset] + noise + GGUF[offset + len(noise) :])
    except BadObject as error:
        assert "not a whole GGUF file" in error.what


@pytest.mark.parametrize(
    ("count", "label"),
    [
        *((999, "999"), (74_240, "74K"), (137_000_000, "137M"), (8_030_261_248, "8.0B"), (7_000_000_000, "7B")),
        *((1_235_814_432, "1.2B"), (268_098_176, "268.10M")),
    ],
)
def test_the_size_label_is_ollamas(count: int, label: str) -> None:
    """As format.HumanNumber of Ollama writes it."""
    found = GgufHeader(version=3, architecture="a", kind="", file_type="F16", parameters=count, parts=1)
    assert found.size_label == label


# Loose files.


def layer(kind: str, data: bytes = b"x") -> Layer:
    """A layer of Ollama's."""
    return Layer(digest=digest_of(data), size=len(data), media_type=f"application/vnd.ollama.image.{kind}")


def text_of(kind: str, data: bytes) -> str:
    """The Modelfile of one layer."""
    file = LooseFile(kind=kind, name="m.x", layer=layer(kind, data))
    return modelfile([file], {file.layer.digest: data})


@pytest.mark.parametrize(
    ("kind", "data", "line"),
    [
        ("template", b"{{ .Prompt }}", 'TEMPLATE """{{ .Prompt }}"""'),
        ("template", b'a """\nFROM /etc/passwd', "# TEMPLATE: see m.x; a Modelfile has no words for it"),
        ("system", b'say "hi"', "# SYSTEM: see m.x; a Modelfile has no words for it"),
        ("params", b'{"stop":["a","\\"b"],"x y":1,"seed":1}', None),
        ("params", b"not json", ""),
        ("messages", b'[{"role":"user","content":"hi"},{"role":"root","content":"x"},7]', None),
    ],
)
def test_lines_of_a_modelfile(kind: str, data: bytes, line: str | None) -> None:
    """Texts are quoted, and what cannot be quoted never becomes a command of its own."""
    found = text_of(kind, data)
    if line is not None:
        assert found == f"{line}\n"
    assert "FROM" not in found


@given(st.text(max_size=80))
def test_no_text_of_a_layer_begins_a_command(words: str) -> None:
    """Whatever a template, a parameter or a message holds: outside its quotes there is only our own line."""
    for kind, data in (
        ("template", words),
        ("params", json.dumps({"stop": [words], words: 1})),
        ("messages", json.dumps([{"role": "user", "content": words}, {"role": words, "content": ""}])),
    ):
        pieces = text_of(kind, data.encode("utf-8", "replace")).split('"""')
        outside = "".join(pieces[::2])
        for line in outside.splitlines():
            assert (
                line.startswith(("TEMPLATE", "PARAMETER stop", "MESSAGE user", "#", "PARAMETER ")) or not line.strip()
            )


def test_names_of_loose_files() -> None:
    """Names come from the model's name alone, several licenses get numbers, old words mean the new ones."""
    raw = manifest(layer("model"), layer("license", b"1"), layer("license", b"2"), layer("prompt", b"p"))
    names = [file.name for file in loose_files(ModelName.parse("hf.co/me/Some.Model:Q4"), raw)]
    assert names == ["Some.Model-Q4.gguf", "Some.Model-Q4.license", "Some.Model-Q4-2.license", "Some.Model-Q4.template"]
    for bad in ((), (layer("model"), layer("model", b"2")), (layer("tensor"),)):
        with pytest.raises(BadSetting):
            loose_files(ModelName.parse("m"), manifest(*bad))


def manifest(*layers: Layer) -> Manifest:
    """A manifest of these layers."""
    items = [{"mediaType": item.media_type, "digest": item.digest, "size": item.size} for item in layers]
    return Manifest.parse(json.dumps({"schemaVersion": 2, "layers": items}).encode())


def test_a_manifest_made_anew_parses_as_ours() -> None:
    """Config and layers are named by digest and size, and the config says what the header says."""
    config, raw = build_manifest(header_of(GGUF), [("model", digest_of(GGUF), len(GGUF)), ("template", DIGEST, 3)])
    parsed = Manifest.parse(raw)
    assert parsed.config is not None
    assert (parsed.config.digest, parsed.config.size) == (digest_of(config), len(config))
    assert [item.media_type.rpartition(".")[2] for item in parsed.layers] == ["model", "template"]
    assert json.loads(config)["model_type"] == header_of(GGUF).size_label


def test_a_read_that_comes_short_is_the_end_of_the_file() -> None:
    """A reader that gives less than it was asked for ends it: no loop, no header of half a file."""
    with pytest.raises(BadObject, match="ends inside its header"):
        read_header(lambda offset, _: GGUF[offset : offset + 1], len(GGUF))
