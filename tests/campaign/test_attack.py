"""Hostile input of every kind: no open outside the roots, a value or a typed error of each parser, no edit missed."""

import importlib.util
import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path

import pytest

from modelward.domain.access import Scope
from modelward.domain.codec import decode
from modelward.testing import FakeStore
from modelward.vault.audit import Head, entry, faults
from tests.api.stage import Stage, made
from tests.campaign import canaries, log_files, lures, requested
from tests.campaign.corpus import bundles, digests, links, manifests, names
from tests.campaign.fuzz import one, seeds, target, targets
from tests.campaign.parsers import EXEMPT, Reached, parsers
from tests.campaign.plan import ROOT, Run, limited
from tests.places import Place

MODULES = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
BEGIN = datetime(2026, 1, 5, tzinfo=UTC)
_OPENED = re.compile(r"open(?:at)?2?\(.*?, ([A-Z_|]+)[^)]*\) = \d+<([^>]*)>")
_WRITES = ("O_WRONLY", "O_RDWR", "O_CREAT")


def test_the_corpus_is_large_enough(tmp_path: Path) -> None:
    """Three hundred attacks at the least."""
    assert sum(1 for _ in chain(names(), digests(), manifests(), links(), bundles(tmp_path))) >= 300


@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace on PATH")
@limited(little=1, share=0.3)
def test_no_open_outside_the_roots(tmp_path: Path, run: Run) -> None:
    """The trace shows no file opened but in store, vault and where programs lie, and nothing of it is written (T1)."""
    step = 24 if run.cases else 1
    for number in run.numbers():
        outside = tmp_path / str(number) / "outside"
        outside.mkdir(parents=True)
        (outside / "secret").write_text("secret")
        (outside / "lock").write_text("")
        (outside.parent / "base").mkdir()
        base, trace = tmp_path / str(number) / "base", tmp_path / str(number) / "trace"
        with run.case(number):
            attack = [sys.executable, "-m", "tests.campaign.attacker", str(base), str(number % step), str(step)]
            done = subprocess.run(
                ["strace", "-f", "-qq", "-y", "-e", "trace=open,openat,openat2", "-o", str(trace), *attack],
                cwd=ROOT,
                # What measures coverage opens files of its own.
                env={key: text for key, text in os.environ.items() if not key.startswith("COVERAGE")}
                | MODULES
                | {"PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(outside.parent / "base")},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr[-3000:]
            run.figures.update(Counter(json.loads(done.stdout)))
            assert strange(trace, base) == []
            assert {path.name for path in outside.iterdir()} == {"secret", "lock"}
            assert (outside / "secret").read_text() == "secret"
        if not run.cases:
            break


def strange(trace: Path, base: Path) -> list[str]:
    """What was opened, after the attacks began, outside the base and outside of where programs read."""
    lines = trace.read_text(errors="replace").splitlines()
    begin = next(number for number, line in enumerate(lines) if f"<{base}/begin>" in line)
    reads = (sys.prefix, sys.base_prefix, str(ROOT), "/proc/", "/sys/", "/usr/", "/lib", "/etc/ld.so.cache", "/dev/")
    found = []
    for line in lines[begin:]:
        opened = _OPENED.search(line)
        if opened is None:
            continue
        flags, path = opened[1], opened[2]
        inside = path.startswith(f"{base}/") or path == str(base)
        writes = any(flag in flags for flag in _WRITES)
        if not inside and ((writes and not path.startswith("/dev/")) or not path.startswith(reads)):
            found.append(line)
    return found


def test_there_are_enough_lures() -> None:
    """A hundred and fifty addresses that lead inside at the least, beside the ways to name one."""
    assert len(set(lures.addresses())) >= 150


@pytest.mark.skipif(shutil.which("unshare") is None or shutil.which("ip") is None, reason="no unshare or ip on PATH")
@limited(little=1, share=0.15)
def test_nobody_is_led_inside(tmp_path: Path, run: Run) -> None:
    """In a network where every address is ours, none is asked that may not be, and no credential goes astray (T11)."""
    alone = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no network namespaces for this user")
    step = 40 if run.cases else 1
    for number in run.numbers():
        with run.case(number):
            words = [sys.executable, "-m", "tests.campaign.led_astray", str(tmp_path / str(number))]
            done = subprocess.run(
                [*alone, *words, str(number % step), str(step)],
                cwd=ROOT,
                env=os.environ | MODULES | {"PYTHONDONTWRITEBYTECODE": "1"},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr[-3000:]
            run.figures.update(Counter(json.loads(done.stdout)))
        if not run.cases:
            break


def test_every_parser_has_a_target() -> None:
    """What takes bytes apart in our source is reached by the good inputs of some target, or a list says why not."""
    with Reached() as reached:
        for name, inputs in seeds().items():
            for data in inputs:
                one(target(name), data)
    unreached = parsers() - reached.functions
    assert unreached - EXEMPT.keys() == set()
    assert EXEMPT.keys() <= parsers(), "a reason for something that is not there any more"
    assert set(targets()) == set(seeds())


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("layout: index", b'{"manifests":[],"x":"\xff"}'),
        ("vault: index", b'{"annotations":{"x":"\xff"}}'),
        ("vault: log", b'{"seq":1e999,"at":"2026-01-05T12:00:00+00:00","action":"backup"}\n'),
        ("journal: cells", b"{}"),
        ("registry: headers", b"Wed, 21 Oct 2026 07" + b"9" * 200),
        ("registry: headers", b"http://[]/"),
        ("API: answer", b"http://["),
        ("API: answer", b'event: \xff\ndata: {"id":"1"}\n\n'),
    ],
)
def test_what_fuzzing_found(name: str, data: bytes) -> None:
    """Inputs that once ended in a traceback: a value now, or an error of ours."""
    assert one(target(name), data) in ("taken", "refused")


@limited(little=400, share=0.15)
def test_parsers_with_mutated_input(run: Run) -> None:
    """Each parser with mutations of good input: a value or an error of ours, within a second."""
    good, names = seeds(), sorted(targets())
    for number in run.numbers():
        rng = run.rng(number)
        name = names[number % len(names)]
        data = mutated(rng.choice(good[name]), rng)
        with run.case(number, (name, data[:200])):
            began = time.process_time()
            run.figures[f"{name}: {one(target(name), data)}"] += 1
            assert time.process_time() - began < 1.0


def mutated(data: bytes, rng: random.Random) -> bytes:
    """A few changes: bits, bytes, pieces cut, doubled, swapped, and what parsers dislike."""
    spices = (
        b"\0",
        b"\xff",
        b"[" * 2000,
        b'{"a":' * 500,
        b"9" * 500,
        b"-1",
        b"1e999",
        b"..",
        b"/",
        b"\n",
        b"\xed\xa0\x80",
        b'"',
        b"\\u0000",
    )
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(6):
            case 0 if data:
                at %= len(data)
                data = data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]
            case 1:
                data = data[:at] + data[at + rng.randint(1, 30) :]
            case 2:
                data = data[:at] + data[at : at + 40] * rng.randint(2, 60) + data[at:]
            case 3:
                data = data[:at] + rng.choice(spices) + data[at:]
            case 4:
                data = data[:at] + rng.randbytes(rng.randint(1, 40)) + data[at:]
            case _:
                data = data[:at] + rng.choice(spices) + data[at + rng.randint(1, 9) :]
    return data


@limited(little=1, share=0.3)
def test_parsers_under_atheris(tmp_path: Path, run: Run) -> None:
    """Each parser guided by coverage; only the campaign has the time, the ordinary suite sees that a target starts."""
    if importlib.util.find_spec("atheris") is None:  # importing it here would silence it in the children
        pytest.skip("no atheris")
    names, good = (sorted(targets()), seeds()) if not run.cases else (["digest"], {"digest": (b"sha256:",)})
    limits = [f"-max_total_time={max(2, int(run.seconds / len(names)))}", f"-seed={run.seed}"]
    limits = ["-runs=200", "-seed=1"] if run.cases else limits
    words: list[str] = []
    for number, name in enumerate(names):
        folder = tmp_path / f"corpus{number}"
        folder.mkdir()
        for place, data in enumerate(good[name]):
            (folder / str(place)).write_bytes(data)
        more = ("-timeout=20", "-rss_limit_mb=1024", f"-artifact_prefix={tmp_path}/", str(folder), "--")
        words += [name, *limits, *more]
    done = subprocess.run(
        [sys.executable, "-m", "tests.campaign.fuzz_guided", *words],
        cwd=ROOT,
        env=os.environ | MODULES,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    said = done.stderr.split("\ntarget ")[1:]
    assert len(said) == len(names), done.stderr[-3000:]
    for number, (name, text) in enumerate(zip(names, said, strict=True)):
        with run.case(number, name):
            runs = re.search(r"Done (\d+) runs", text)
            assert text.startswith(f"{name}\n")
            assert runs is not None, text[-4000:]
            assert text.rstrip().endswith("ended 0"), text[-4000:]
            run.figures[f"{name}: inputs"] += int(runs[1])


REQUESTS = 10_000


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Stage, str, str]]:
    """A guard that holds its jobs back, its address, and an administrator's token."""
    stage = made(tmp_path)
    stage.look()
    stage.gate.clear()
    token = stage.token(Scope.ADMIN, timedelta(days=10_000))
    with stage.serving() as running:
        yield stage, running.address, token
    stage.close()


@limited(little=1)
def test_requests_made_from_the_document(run: Run, served: tuple[Stage, str, str]) -> None:
    """Ten thousand requests, good and spoiled: no 5xx, no status and no body that the document has not."""
    for number, operation, examples in requested.plan(REQUESTS):
        if number < run.first or (run.cases and not run.going):
            continue
        with run.case(number, f"{operation[0].label} {operation[1].value}"):
            requested.ask(run, served, operation, 2 if run.cases else examples, number)
    assert run.cases or run.first or run.figures["requests"] >= REQUESTS


@limited(little=1)
def test_secrets_turn_up_nowhere(tmp_path: Path, run: Run) -> None:
    """Canaries in every place that takes a secret, the whole program driven: none is seen but where it belongs."""
    with run.case(run.first), canaries.planted(tmp_path) as found:
        canaries.drive(found, whole=not run.cases)
        run.figures["canaries"] = len(found.words)
        run.figures.update({f"looked at: {where}": count for where, count in found.searched.items()})
        assert found.found == []


@limited(little=150, share=0.1)
def test_a_log_that_was_edited(run: Run) -> None:
    """Every edit, drop, reorder, insertion and cut of the audit log is found (A1)."""
    for number in run.numbers():
        with run.case(number) as rng:
            lines, head = log_of(rng)
            kind, edited, anchor = edit(lines, head, rng)
            assert faults(lines, head) == (), "the log is good before"
            assert faults(edited, anchor), kind
            run.figures[kind] += 1


def log_of(rng: random.Random) -> tuple[list[bytes], Head]:
    """A log of some entries, with its head."""
    head, lines = Head(), list[bytes]()
    for number in range(rng.randint(2, 12)):
        keys = {"model": f"model{rng.randrange(5)}", "bytes": rng.randrange(1 << 40), "note": 'ä \u2028 "x"'}
        line, head = entry(head, BEGIN + timedelta(minutes=number), rng.choice(("backup", "repair", "forget")), keys)
        lines.append(line.rstrip(b"\n"))
    return lines, head


def edit(lines: list[bytes], head: Head, rng: random.Random) -> tuple[str, list[bytes], Head]:
    """One edit of the log."""
    edited, at = list(lines), rng.randrange(len(lines))
    match rng.randrange(6):
        case 0:
            place = rng.randrange(len(edited[at]))
            flipped = bytearray(edited[at])
            flipped[place] ^= 1 << rng.randrange(8)
            edited[at] = bytes(flipped)
            return "bit flipped", edited, head
        case 1:
            del edited[at]
            return "line dropped", edited, head
        case 2:
            other = (at + rng.randrange(1, len(edited))) % len(edited)
            edited[at], edited[other] = edited[other], edited[at]
            return "lines swapped", edited, head
        case 3:
            edited.insert(at, edited[rng.randrange(len(edited))])
            return "line doubled", edited, head
        case 4:
            return "cut at the end", edited[: rng.randrange(len(edited))], head
        case _:
            # A forger who knows the form rewrites the rest of the chain; the anchored head gives it away.
            made = decode(edited[at - 1], Head) if at else Head()
            edited = edited[:at]
            for number in range(at, len(lines)):
                line, made = entry(made, BEGIN + timedelta(minutes=number), "forged", {})
                edited.append(line.rstrip(b"\n"))
            return "chain forged anew", edited, head


@limited(little=10, share=0.1)
def test_a_log_whose_files_were_attacked(tmp_path: Path, run: Run) -> None:
    """Log and head cut, replaced, rolled back or taken away: found by the vault, or by a head kept elsewhere (A1).

    Who can write the vault can write a log and a head that fit each other (SECURITY.md): nothing inside it can tell.
    """
    for number in run.numbers():
        with run.case(number) as rng:
            place = Place(tmp_path / str(number))
            FakeStore(place.store)
            states = log_files.grown(place, rng)
            kind = rng.choice(sorted(log_files.ATTACKS))
            log_files.ATTACKS[kind](place, states, rng)
            by_itself = bool(place.site().the_vault().audit_faults())
            assert by_itself or kind in log_files.FITS
            assert by_itself or faults(log_files.lines(place), log_files.head_of(states[-1])), f"{kind}: by nothing"
            run.figures[f"{kind}: {'found by itself' if by_itself else 'found by the head elsewhere'}"] += 1
            place.site().the_vault().audit("later")  # going on does not cover it up
            covered = kind not in log_files.HARMLESS and not place.site().the_vault().audit_faults()
            assert not covered or faults(log_files.lines(place), log_files.head_of(states[-1])), f"{kind}: covered up"
        shutil.rmtree(place.base)
