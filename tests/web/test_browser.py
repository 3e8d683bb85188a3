"""The dashboard in a real Chromium, over a real guard process."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # it has no types
from playwright.sync_api import BrowserContext, Page, expect

from modelward.testing import FakeStore
from modelward.testing.corrupt import delete
from tests.api.stage import WEIGHTS
from tests.web.browser import CHROMIUM, PATIENCE, GuardProcess, Watched, chromium

PAGES = ("/", "/models/llama3", "/vault", "/activity", "/alerts", "/settings")
expect.set_options(timeout=PATIENCE)


def ground(base: Path, **given: str) -> GuardProcess:
    """A guard that tells damage and leaves it to a person, over two small models."""
    store = FakeStore(base / "store")
    store.add_model("llama3", WEIGHTS, template=b"{{ .Prompt }}")
    store.add_model("mini:1b", b"small weights", template=b"{{ .Prompt }}")
    return GuardProcess(base, {"MODELWARD_ON_LOSS": "alert", **given})


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    """One browser for the whole file; skips where there is none."""
    if not CHROMIUM.exists():
        pytest.skip(f"no Chromium at {CHROMIUM}")
    with chromium(tmp_path_factory.mktemp("profile")) as context:
        yield context


@pytest.fixture
def watched(browser: BrowserContext) -> Iterator[Watched]:
    """A page of its own, without cookies of the one before."""
    browser.clear_cookies()
    found = Watched.of(browser)
    yield found
    found.page.close()


@pytest.fixture
def guard(tmp_path: Path, browser: BrowserContext) -> Iterator[GuardProcess]:
    """A guard of this test's own, with both models kept."""
    del browser  # without one there is nothing to look with
    found = ground(tmp_path)
    try:
        found.start()
        keep(found)
        yield found
    finally:
        found.stop()


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory, browser: BrowserContext) -> Iterator[GuardProcess]:
    """One guard for all tests that only look, with one model damaged and a silence whose subject is markup."""
    del browser
    found = ground(tmp_path_factory.mktemp("quiet"))
    try:
        found.start()
        keep(found)
        harm(found)
        silence = {"lasts": "4h", "subject": '<img src=x onerror="document.title=1">', "why": "<b>why</b>"}
        found.client().send("POST", "/silences", silence)
        yield found
    finally:
        found.stop()


def keep(guard: GuardProcess) -> None:
    """Wait until a backup of both is done."""
    caller = guard.client()
    assert caller.finish(caller.start("backup").id).exit_code == 0


def harm(guard: GuardProcess) -> None:
    """Delete the largest blob."""
    delete(max((guard.base / "store" / "blobs").iterdir(), key=lambda path: path.stat().st_size))


def visit(page: Page, guard: GuardProcess, path: str) -> None:
    """Open a page, and wait until it follows the guard."""
    page.goto(guard.address + path)
    expect(page.locator("#link")).to_have_class("link on")


@pytest.mark.parametrize("path", [*PAGES, "/login"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_are_accessible_and_say_nothing_on_the_console(
    path: str, scheme: str, quiet: GuardProcess, watched: Watched
) -> None:
    """No fault by axe-core in either colours, no error of a script, of the console or of the policy."""
    page = watched.page
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]  # one of its words
    if path == "/login":
        page.goto(quiet.address + path)
    else:
        visit(page, quiet, path)
        if path in ("/", "/models/llama3"):
            expect(page.get_by_text("damaged, recoverable").first).to_be_visible()
    for details in page.locator("main details").all()[:3]:
        details.evaluate("element => { element.open = true; }")
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert watched.errors == []


@pytest.mark.parametrize("path", [*PAGES, "/login", "/no/such/page"])
def test_a_phone_scrolls_in_one_direction_only(path: str, quiet: GuardProcess, watched: Watched) -> None:
    """At 360 pixels nothing stands out of the page."""
    page = watched.page
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(quiet.address + path)
    wide = page.evaluate("document.documentElement.scrollWidth")
    out = page.evaluate(
        "[...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > 361"
        " && !e.closest('.hush, .scroll')).map(e => e.outerHTML.slice(0, 120))"
    )
    assert wide <= 360, out
    assert out == []


def test_markup_is_text(quiet: GuardProcess, watched: Watched) -> None:
    """A subject that is an element is read, not made (T19)."""
    page = watched.page
    visit(page, quiet, "/alerts")
    expect(page.get_by_text('<img src=x onerror="document.title=1">').first).to_be_visible()
    assert page.locator("main img").count() == 0
    assert page.title() != "1"


def test_everything_can_be_done_by_keyboard(quiet: GuardProcess, watched: Watched) -> None:
    """Skip link, focus that is seen, a dialog that opens with Enter, closes with Escape and gives the focus back."""
    page = watched.page
    visit(page, quiet, "/models/llama3")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("!!document.activeElement.closest('main')")
    style = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert style == "solid"
    while page.evaluate("document.activeElement.dataset.verb") != "repair":
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#act .plan")).to_be_visible()
    expect(page.locator("#act-go")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#act")).to_be_hidden()
    assert page.evaluate("document.activeElement.dataset.verb") == "repair"


def test_colours_can_be_chosen_and_are_kept(quiet: GuardProcess, watched: Watched) -> None:
    """The switch goes from the system's colours to light and dark, and the next page has them from its first paint."""
    page = watched.page
    visit(page, quiet, "/")
    switch = page.locator("#theme")
    expect(switch).to_have_attribute("aria-label", "Colours: as the system")
    switch.click()
    switch.click()
    expect(switch).to_have_attribute("aria-label", "Colours: dark")
    page.goto(quiet.address + "/vault")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.evaluate("localStorage.clear()")


def test_pages_can_be_read_without_scripts(quiet: GuardProcess, watched: Watched) -> None:
    """Without JavaScript everything is there to read, dates instead of times ago, and no button that does nothing."""
    page = watched.page
    page.context.new_cdp_session(page).send("Emulation.setScriptExecutionDisabled", {"value": True})
    answer = page.goto(quiet.address + "/models/llama3")
    assert answer is not None
    assert "Without JavaScript you can read everything here." in answer.text()
    expect(page.locator("#health")).to_have_text("damaged, recoverable")
    expect(page.locator(".timeline time").first).to_contain_text("UTC")
    expect(page.locator(".finding code")).to_be_visible()
    assert page.locator("main button:visible").count() == 0
    page.get_by_role("link", name="Vault").click()
    expect(page.get_by_role("heading", name="Protection classes")).to_be_visible()


def test_the_filter_follows_what_is_typed(quiet: GuardProcess, watched: Watched) -> None:
    """The rows are the server's answer, and the address can be shared."""
    page = watched.page
    visit(page, quiet, "/")
    page.get_by_label("Part of a model's name").fill("mini")
    expect(page.locator("table tbody th")).to_have_text(["mini:1b"])
    assert page.url.endswith("/?q=mini")
    page.get_by_label("Part of a model's name").fill("none such")
    expect(page.get_by_text("No model fits this filter.")).to_be_visible()
    assert watched.errors == []


def test_damage_appears_live_and_is_repaired_by_a_click(guard: GuardProcess, watched: Watched) -> None:
    """No reload: a deleted blob shows, the plan of its repair too, the job is followed to its end, and all is well."""
    page = watched.page
    visit(page, guard, "/models/llama3")
    expect(page.locator("#health")).to_have_text("healthy")
    page.evaluate("window.mark = 'same page'")
    harm(guard)
    expect(page.locator("#health")).to_have_text("damaged, recoverable")
    expect(page.locator("svg.map rect.lost").first).to_be_attached()
    page.locator(".finding").get_by_role("button", name="Repair…").click()
    expect(page.locator("#act .plan")).to_contain_text("bring blob")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator("#act-state")).to_have_text("Done.")
    expect(page.locator("#act-body")).to_contain_text("brought blob")
    page.locator("#act-close").click()
    expect(page.locator("#health")).to_have_text("healthy")
    expect(page.locator("svg.map rect.lost")).to_have_count(0)
    assert page.evaluate("window.mark") == "same page"
    assert watched.errors == []


def test_a_snapshot_is_restored_from_the_timeline(guard: GuardProcess, watched: Watched) -> None:
    """One click shows the plan, another restores, and the activity page has it with its cause."""
    page = watched.page
    visit(page, guard, "/models/mini:1b")
    page.locator(".timeline").get_by_role("button", name="Restore…").click()
    expect(page.locator("#act .plan")).to_be_visible()
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator("#act-state")).to_have_text("Done.")
    visit(page, guard, "/activity")
    row = page.locator("tr", has_text="restore").first
    expect(row).to_contain_text("api: this machine")
    assert watched.errors == []


def test_a_verb_is_started_from_its_form(guard: GuardProcess, watched: Watched) -> None:
    """The options of the form are those of the job; what the guard refuses is told in words."""
    page = watched.page
    visit(page, guard, "/activity")
    page.locator("#verb-verify summary").click()
    page.locator("#f-verify-models").fill("mini:1b")
    page.locator("#f-verify-level").select_option("quick")
    page.locator("#verb-verify").get_by_role("button").click()
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator("#act-state")).to_have_text("Done.")
    expect(page.locator("#act-body")).to_contain_text("mini:1b healthy")
    page.locator("#act-close").click()
    page.locator("#f-verify-models").fill("no such model")
    page.locator("#verb-verify").get_by_role("button").click()
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator("#act-body .trouble")).to_contain_text("What to do")


def test_a_silence_is_added_and_ended(guard: GuardProcess, watched: Watched) -> None:
    """Both without a reload; what is wrong in the form is said beside it."""
    page = watched.page
    visit(page, guard, "/alerts")
    page.get_by_label("Subject, such as llama3*").fill("llama3*")
    page.get_by_label("Why").fill("a new disk")
    page.get_by_role("button", name="Silence", exact=True).click()
    row = page.locator("tr", has_text="a new disk")
    expect(row).to_be_visible()
    row.get_by_role("button").click()
    page.locator("#act-go").click()
    expect(page.locator("#act-body")).to_have_text("The silence has ended.")
    page.locator("#act-close").click()
    expect(row).to_have_count(0)
    assert watched.errors == []


def test_a_guard_that_is_away_is_told_and_comes_back(guard: GuardProcess, watched: Watched) -> None:
    """Stopped, the page says so and keeps what it shows; started again, it goes on by itself, without a reload."""
    page = watched.page
    visit(page, guard, "/")
    page.evaluate("window.mark = 'same page'")
    expect(page.locator("#away")).to_be_hidden()
    guard.stop()
    expect(page.locator("#away")).to_be_visible()
    expect(page.locator("#link-text")).to_have_text("guard away")
    expect(page.get_by_role("link", name="llama3:latest").first).to_be_visible()
    harm(guard)
    guard.start()
    expect(page.locator("#away")).to_be_hidden()
    expect(page.locator("#link-text")).to_have_text("live")
    expect(page.get_by_text("damaged, recoverable").first).to_be_visible()
    assert page.evaluate("window.mark") == "same page"


def test_a_wrong_token_is_refused_and_the_right_one_opens(guard: GuardProcess, watched: Watched) -> None:
    """Once a token was made the pages lead to the door; it says in words why it refuses, and logging out closes it."""
    made = guard.program.run(
        "token", "create", "browser", "--scope", "admin", MODELWARD_STATE=str(guard.base / "state")
    )
    secret = next(word for word in made.out.split() if word.startswith("mw_"))
    page = watched.page
    page.goto(guard.address + "/vault")
    expect(page).to_have_url(guard.address + "/login")
    page.get_by_label("Token").fill("mw_wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.locator("#refused")).to_contain_text("this token is unknown, revoked or has ended")
    page.get_by_label("Token").fill(secret)
    page.keyboard.press("Enter")
    expect(page).to_have_url(guard.address + "/")
    expect(page.locator("#link")).to_have_class("link on")
    expect(page.locator("#foot")).to_contain_text("browser")
    visit(page, guard, "/alerts")
    page.get_by_role("button", name="Send a test…").click()
    page.locator("#act-go").click()
    expect(page.locator("#act-body")).to_contain_text("No channel is set")
    page.locator("#act-close").click()
    visit(page, guard, "/settings")
    page.get_by_role("button", name="Log out…").click()
    page.locator("#act-go").click()
    expect(page).to_have_url(guard.address + "/login")
    page.goto(guard.address + "/")
    expect(page).to_have_url(guard.address + "/login")
