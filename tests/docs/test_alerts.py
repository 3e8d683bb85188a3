"""docs/alerts.md is about the alerts that there are."""

import json
import re
from pathlib import Path

from modelward.domain.alert import EVENT_KINDS, Kind, Notice, severity_of
from modelward.domain.alerting import HIDES
from modelward.domain.codec import decode

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "alerts.md").read_text(encoding="utf-8")
WORDS = {"critical": "Critical", "warning": "Warning", "info": "Information"}


def test_every_kind_has_its_runbook() -> None:
    """A heading with the kind's own words, its severity first, and numbered steps."""
    part = TEXT[TEXT.index("## The kinds") : TEXT.index("## Channels")]
    sections = dict(re.findall(r"^### (.+)\n((?:(?!^###).*\n)*)", part, re.MULTILINE))
    assert list(sections) == [str(kind) for kind in Kind]
    for kind in Kind:
        once = ", told once" if kind in EVENT_KINDS else ""
        assert sections[kind].startswith(f"{WORDS[severity_of(kind)]}{once}. "), kind
        assert "\n1. " in sections[kind]


def test_every_anchor_leads_to_a_heading() -> None:
    """Links within the page are to headings of the page."""
    anchors = set(re.findall(r"\]\(#([a-z-]+)\)", TEXT))
    headings = {
        re.sub(r"[^a-z -]", "", head.lower()).replace(" ", "-") for head in re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)
    }
    assert anchors
    assert anchors <= headings


def test_the_table_of_what_hides_what_is_the_engines() -> None:
    """Row by row."""
    rows = re.findall(r"^\| \[(.+?)\]\(#.+?\) \| (.+?) \|$", TEXT, re.MULTILINE)
    assert {cause: set(hidden.split(", ")) for cause, hidden in rows} == {
        str(cause): {str(kind) for kind in hidden} for cause, hidden in HIDES.items()
    }


def test_the_sample_notice_is_one() -> None:
    """The JSON of the webhook reads as a notice, with the three keys of the document before it."""
    [sample] = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
    document = json.loads(sample)
    assert document.pop("schema") == "modelward/notice/1"
    assert document.pop("host") == "box"
    del document["modelward"]
    notice = decode(json.dumps(document).encode(), Notice)
    assert notice.alerts[0].kind is Kind.MODEL_MISSING
