"""Run a real session on a practice store and draw it as docs/terminal.svg, the picture of the README."""

import io
import os
import pty
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.ansi import AnsiDecoder
from rich.console import Console
from rich.text import Text

from modelward.testing import FakeStore, tiny_gguf

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "terminal.svg"
STORE, VAULT = "/usr/share/ollama/.ollama/models", "/srv/model_backups"
DAY = "2026-08-03"
COLUMNS = 102
MIB = 1 << 20
SESSION = (
    "export MODELWARD_VAULT={vault}",
    "modelward run",
    "cd {store} && blob=$(ls -S blobs/* | head -1)",
    "dd if=/dev/zero of=$blob bs=1M seek=5 count=1 conv=notrunc status=none  # one MiB goes bad",
    "modelward verify",
    "modelward repair",
    "modelward status",
)


def main() -> None:
    """Play the session in a temporary folder, and write the picture."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder).resolve()
        FakeStore(base / "models").add_model(
            "llama3", tiny_gguf(at_least_bytes=24 * MIB), template=b"{{ .Prompt }}", license=b"no rights reserved"
        )
        text = neutral(play(base), base)
    draw(text)


def play(base: Path) -> str:
    """What a terminal shows of the session, prompts and colours included."""
    program = base / "modelward"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m modelward "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    lines = [line.format(store=base / "models", vault=base / "model_backups") for line in SESSION]
    script = "\n".join(part for line in lines for part in (f"printf '%s\\n' {_quoted('$ ' + line)}", line, "echo"))
    return in_terminal(script, {"HOME": str(base), "MODELWARD_STORE": str(base / "models")}, base)


def in_terminal(script: str, environ: dict[str, str], path: Path) -> str:
    """What the shell script writes to a terminal of its own, so that programs colour it."""
    master, slave = pty.openpty()
    environ = {"PATH": f"{path}:{os.defpath}", "PYTHONPATH": os.pathsep.join(sys.path), "TERM": "xterm", **environ}
    with subprocess.Popen(["/bin/sh", "-c", script], env=environ, stdin=slave, stdout=slave, stderr=slave):
        os.close(slave)
        shown = b"".join(iter(lambda: _read(master), b""))
        os.close(master)
    return shown.decode().replace("\r\n", "\n")


def neutral(text: str, base: Path) -> str:
    """The text with the paths of an ordinary machine and with one day for all times."""
    text = text.replace(str(base / "models"), STORE).replace(str(base / "model_backups"), VAULT)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", f"{DAY} 09:00", text)
    return re.sub(r"\d{8}T\d{6}Z", f"{DAY.replace('-', '')}T090000Z", text)


def draw(text: str) -> None:
    """Write the picture of the text; a line that is too wide for it is an error."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="standard")
    colours = AnsiDecoder()  # one for all lines: a style may begin on the line before
    for line in text.strip().split("\n"):
        prompt = Text.assemble(("$ ", "bold green"), (line[2:], "bold"))
        shown = prompt if line.startswith("$ ") else colours.decode_line(line)
        if shown.cell_len > COLUMNS:
            sys.exit(f"too wide for the picture ({shown.cell_len} of {COLUMNS} columns): {shown.plain}")
        console.print(shown, soft_wrap=True)
    svg = console.export_svg(title="modelward")
    # Without the fonts that it names on another server: the reader's own monospace does.
    svg = re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    PICTURE.write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n", encoding="utf-8")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # the shell ended: Linux says EIO then, and no end of file
        return b""


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


if __name__ == "__main__":
    main()
