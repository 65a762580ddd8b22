"""The dashboard in a real browser: every page, its figures and structures, live updates, and what it is not to do."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
import small_campaign
from ase import Atoms

from ionloop.core.states import State
from ionloop.deploy.dashboard import DashboardSettings, create_app
from ionloop.deploy.dashboard import reader as reader_module
from ionloop.deploy.dashboard.pages.shared import READER
from ionloop.deploy.dashboard.server import make_server
from ionloop.store.connection import Store, open_store
from ionloop.store.records import ResultRecord
from ionloop.tasks.results import save_arrays
from ionloop.workflows.analyses.sections import FigureBlock, ReportSection

webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
exceptions = pytest.importorskip("selenium.common.exceptions", reason="needs selenium")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver"),
    # The driver's connections are closed by its destructor.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
HERE = Path(__file__).parent
PATIENCE_S = 15.0
# A campaign begins with imports, which a busy machine takes its time for.
START_PATIENCE_S = 90.0
LEAST_CONTRAST, LEAST_CONTRAST_LARGE = 4.5, 3.0
HOSTILE = "<img src=x onerror=document.title='owned'>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(service=webdriver.ChromeService(DRIVER), options=options)
    driver.set_page_load_timeout(30)
    yield driver
    driver.quit()


def marked_up_section(store: Store, campaign: str) -> ReportSection:
    """Return a section whose figure has all the mark-up that titles of figures may have."""
    figure = go.Figure(go.Scatter(x=[1, 2], y=[2, 1], error_y={"array": [0.1, 0.2]}))
    figure.update_layout(title="<b>bold</b> R<sub>cut</sub> Å<sup>3</sup> <i>slanted</i>")
    return ReportSection("marked", "Marked", "A figure.", [FigureBlock("up", figure, "Caption")])


@pytest.fixture
def dashboard(browser: Any, finished_store: Store, builder: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A dashboard of a campaign that ran, one with a hostile name, an analysis, and a barrier's path."""
    analysis = SimpleNamespace(name="locality", section=marked_up_section)
    monkeypatch.setattr(reader_module, "ANALYSES", SimpleNamespace(kinds=(analysis,)))
    hostile = type(builder)(finished_store, "other")
    hostile.name = HOSTILE
    hostile.add_campaign()
    hostile.add_analyses()
    builder.add_analyses()
    add_path(finished_store)
    with served(finished_store, browser) as address:
        yield address


@contextmanager
def served(store: Store, browser: Any) -> Iterator[str]:
    """Serve a dashboard of a store; give its address."""
    settings = DashboardSettings(port=0, refresh_s=0.2)
    app = create_app(store, settings)
    server = make_server(app, settings)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    # A page that is left open would ask for a server that is gone, and say so in the next test's log.
    browser.get("about:blank")
    browser.get_log("browser")
    server.shutdown()
    thread.join()
    server.server_close()
    app.extensions[READER].close()


def add_path(store: Store) -> None:
    """Add the result of a barrier whose path has five images."""
    atoms = Atoms("Li2PS4", positions=np.random.default_rng(1).uniform(0, 6, (7, 3)), cell=[6, 7, 8], pbc=True)
    positions = np.array([atoms.positions + 0.2 * image for image in range(5)])
    arrays = {
        "numbers": atoms.numbers,
        "cell": atoms.cell.array,
        "positions": positions,
        "energies": np.array([0.0, 0.1, 0.3, 0.1, 0.0]),
    }
    store.results.add(
        ResultRecord(
            id="result-path",
            campaign="small",
            kind="barrier-band",
            values={"slot": HOSTILE, "converged": True},
            artefacts={"band": save_arrays(store, "barriers", "result-path", arrays)},
        )
    )


def addresses(store: Store) -> list[str]:
    configuration = next(iter(store.configurations.find({"generation": 2}))).id
    model = next(iter(store.models.find())).id
    return [
        "/",
        "/campaign?name=small",
        "/campaign?name=%3Cimg%20src%3Dx%20onerror%3Ddocument.title%3D%27owned%27%3E",
        "/job?number=1",
        "/configurations",
        "/configurations?filter=generation%3E0&sort=-max_force",
        "/configurations?filter=nonsense",
        f"/configuration?id={configuration}",
        "/models",
        f"/model?id={model}",
        "/results",
        "/results?filter=kind%3Derrors&y=force_eV_per_A.rmse",
        "/result?id=result-path",
        "/result?id=" + next(iter(store.results.find({"kind": "conductivity"}))).id,
        "/compare",
        "/compare?campaign=small&campaign=%3Cimg%20src%3Dx%20onerror%3Ddocument.title%3D%27owned%27%3E",
    ]


def wait(until: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
    """Return what ``until`` gives once that is true."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        found = until()
        if found:
            return found
        time.sleep(0.1)
    pytest.fail(f"waited {patience_s} s for {what}")


def open_page(browser: Any, address: str) -> None:
    """Open a page and wait for its figures and structures."""
    browser.get(address)
    drawn = "return !document.querySelector('.chart') || document.body.dataset.drawn === 'true'"
    wait(lambda: browser.execute_script(drawn), f"figures of {address}")
    seen = "return [...document.querySelectorAll('.viewer > canvas')].every(one => Number(one.dataset.drawn) > 0)"
    wait(lambda: browser.execute_script(seen), f"structures of {address}")


def requested(browser: Any) -> list[str]:
    """Return the addresses that were asked for since the last call."""
    messages = (json.loads(entry["message"])["message"] for entry in browser.get_log("performance"))
    return [one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent"]


def emulate(browser: Any, scheme: str, width: int = 1280, height: int = 900) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def test_every_page(browser: Any, dashboard: str, finished_store: Store) -> None:
    for path in addresses(finished_store):
        emulate(browser, "light")
        browser.get_log("browser"), requested(browser)
        open_page(browser, dashboard + path)
        assert browser.title.endswith("ionloop") or path == "/", path
        assert accessibility_problems(browser) == [], path
        assert faint_texts(browser) == [], path
        emulate(browser, "dark")
        assert faint_texts(browser) == [], path
        for width in (768, 390):
            emulate(browser, "light", width, 844)
            fits = f"return document.documentElement.scrollWidth <= {width}"
            wait(lambda fits=fits: browser.execute_script(fits), f"{path} to fit into {width} pixels")
        assert browser.get_log("browser") == [], path
        for url in requested(browser):
            assert url.startswith((dashboard, "data:", "blob:")), (path, url)


def test_a_structure_is_drawn_and_turns(browser: Any, dashboard: str, finished_store: Store) -> None:
    emulate(browser, "light")
    open_page(browser, dashboard + addresses(finished_store)[7])
    before = pixels(browser)
    assert before["colours"] > 200
    assert before["filled"] > 0.02
    canvas = browser.find_element("css selector", ".viewer canvas")
    canvas.send_keys("\ue014")
    wait(lambda: pixels(browser)["sum"] != before["sum"], "the structure to turn")
    forces = browser.find_element("css selector", "button[aria-label='Show forces']")
    turned = pixels(browser)["sum"]
    forces.click()
    assert forces.get_attribute("aria-pressed") == "false"
    wait(lambda: pixels(browser)["sum"] != turned, "the arrows to vanish")


def test_a_path_is_played(browser: Any, dashboard: str) -> None:
    emulate(browser, "light")
    open_page(browser, f"{dashboard}/result?id=result-path")
    told = browser.find_element("css selector", ".viewer-bar [role=status]")
    assert told.text == "image 1 of 5, 0.000 eV above the first"
    browser.find_element("css selector", "button[aria-label='Play the images']").click()
    wait(lambda: told.text.startswith("image 3 of 5, 0.300"), "the third image")


def pixels(browser: Any) -> dict[str, float]:
    """Return how much of the viewer is drawn on, in how many colours."""
    found: dict[str, float] = browser.execute_script("""
        const canvas = document.querySelector('.viewer > canvas');
        const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        let filled = 0, sum = 0; const colours = new Set();
        for (let i = 0; i < data.length; i += 4) {
          if (data[i + 3] > 0) { filled += 1; colours.add((data[i] << 16) | (data[i + 1] << 8) | data[i + 2]); }
          sum = (sum * 31 + data[i] + 7 * data[i + 1] + data[i + 3]) % 1000000007;
        }
        return {filled: filled / (data.length / 4), colours: colours.size, sum};
    """)
    return found


def test_a_page_follows_the_store(browser: Any, dashboard: str, builder: Any) -> None:
    emulate(browser, "light")
    open_page(browser, f"{dashboard}/campaign?name=small")
    browser.execute_script("window.marked = true; document.querySelector('#numbers').open = true")
    builder.add_job("generation-2/added-later", "label", 2, "READY")
    builder.add_model("gap", 3, "data-none")
    title = "return [...document.querySelectorAll('.graph title')].map(one => one.textContent).join()"
    wait(lambda: "added-later: ready" in browser.execute_script(title), "the new job")
    assert browser.execute_script("return window.marked"), "the page was loaded again"
    assert browser.execute_script("return document.querySelector('#numbers').open")
    browser.get(f"{dashboard}/")
    row = "return document.querySelector('tbody').innerText"
    count = browser.execute_script(row)
    builder.add_job("generation-2/second", "fit", 2, "RUNNING")
    wait(lambda: browser.execute_script(row) != count, "the list")


def test_what_is_said_of_a_figure_follows_the_store(browser: Any, dashboard: str, builder: Any) -> None:
    open_page(browser, f"{dashboard}/configurations")
    caption = "return document.querySelector('.chart figcaption').textContent"
    known = browser.execute_script(caption)
    plot = browser.find_element("css selector", ".chart .plot")
    atoms = Atoms("LiS", positions=[[0, 0, 0], [0, 0, 2.4]], cell=[5, 5, 5], pbc=True)
    builder.add_label(builder.add_configuration(atoms, 2, "molecular-dynamics", 77), State.FINISHED)
    wait(lambda: browser.execute_script(caption) != known, "the caption")
    assert browser.find_element("css selector", ".chart .plot") == plot, "the figure was made anew"
    assert browser.execute_script("return document.querySelectorAll('.chart figcaption, .chart .export').length") == 2


def test_a_page_follows_a_campaign_that_runs(browser: Any, tmp_path: Path) -> None:
    """From one of its first jobs to its end, without being loaded again, while two workers write into the store."""
    emulate(browser, "light")
    file = small_campaign.prepare(tmp_path / "running")
    campaign = small_campaign.start(file)
    location = file.parent / "ionloop.db"
    wait(location.exists, "the store", START_PATIENCE_S)
    store = open_store(str(location))
    wait(lambda: store.campaigns.get("small"), "the campaign")
    with served(store, browser) as address:
        open_page(browser, f"{address}/campaign?name=small")
        browser.execute_script("window.marked = true")
        states: list[str] = []

        def state() -> str:
            states.append(browser.execute_script("return document.querySelector('.verdict .pill').textContent"))
            return states[-1]

        wait(lambda: state() == "finished", "the end", small_campaign.RUN_TIMEOUT_S)
        assert list(dict.fromkeys(states))[-2:] == ["running", "finished"]
        text = "return document.querySelector('main').innerText"
        wait(lambda: "Force error by element" in browser.execute_script(text), "the errors")
        assert browser.execute_script("return window.marked"), "the page was loaded again"
        assert browser.get_log("browser") == []
        assert campaign.wait(PATIENCE_S) == 0, (file.parent / "run.log").read_text()
    store.close()


def test_a_lost_server_is_told(browser: Any, dashboard: str) -> None:
    open_page(browser, f"{dashboard}/")
    browser.execute_cdp_cmd("Network.enable", {})
    offline = {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    live = browser.find_element("id", "live")
    try:
        wait(lambda: live.text == "no answer", "the page to say so")
    finally:
        browser.execute_cdp_cmd("Network.emulateNetworkConditions", {**offline, "offline": False})
    wait(lambda: live.text == "live", "the page to follow again")
    browser.get_log("browser")


def test_a_page_about_an_outage_comes_back_with_the_store(browser: Any, dashboard: str, finished_store: Store) -> None:
    path = Path(finished_store.location)
    away = path.rename(path.with_suffix(".away"))
    try:
        wait(lambda: browser.get(f"{dashboard}/models") or "cannot be read" in browser.page_source, "the outage")
    finally:
        away.rename(path)

    def heading() -> str:
        # The page loads itself again at a time that only it knows: one question, and none to a page that is leaving.
        with suppress(exceptions.WebDriverException):
            return str(browser.execute_script("return document.querySelector('h1')?.textContent ?? ''"))
        return ""

    wait(lambda: heading() == "Models", "the page to come back")
    browser.get_log("browser")


def test_ticked_results_are_compared(browser: Any, dashboard: str, tmp_path: Path) -> None:
    emulate(browser, "light")
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    open_page(browser, f"{dashboard}/results?filter=kind%3Dlocality")
    for box in browser.find_elements("css selector", "td.tick input"):
        box.send_keys(" ")
    browser.find_element("xpath", "//button[. = 'Compare the ticked']").send_keys("\ue007")
    wait(lambda: "/compare?" in browser.current_url, "the comparison")
    open_page(browser, browser.current_url)
    browser.get_log("browser")
    names = [one.text for one in browser.find_elements("css selector", ".legendtext")]
    assert len(names) == 4
    assert "small · ES-GAP · generation 2" in names
    assert not any("<" in one for one in names)
    assert browser.title == "Comparison · ionloop"
    button = browser.find_element("css selector", ".export button[aria-label$='as CSV']")
    browser.execute_script("arguments[0].click()", button)
    table = tmp_path / "locality-radius-displacement.csv"
    wait(lambda: table.exists() and table.stat().st_size > 0, table.name)
    rows = table.read_text().splitlines()
    assert rows[0] == "panel,series,Radius r (Å),Induced force (eV/Å),error,error below"
    assert any(row.startswith("S,small · ES-GAP · generation 2,4,") for row in rows)
    assert any(row.startswith('S,"small · ES-GAP · generation 2, minus baseline",4,') for row in rows)
    assert browser.get_log("browser") == []


def test_ticks_outlast_a_change_of_the_store(browser: Any, dashboard: str, builder: Any) -> None:
    open_page(browser, f"{dashboard}/")
    box = browser.find_element("css selector", "input[value='small']")
    box.send_keys(" ")
    row = "return document.querySelector('tbody').innerText"
    before = browser.execute_script(row)
    builder.add_job("generation-2/third", "fit", 2, "RUNNING")
    wait(lambda: browser.execute_script(row) != before, "the list")
    assert browser.execute_script("return document.querySelector(\"input[value='small']\").checked")


def test_figures_are_saved(browser: Any, dashboard: str, tmp_path: Path) -> None:
    emulate(browser, "light")
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    open_page(browser, f"{dashboard}/campaign?name=small")
    browser.get_log("browser")
    for word in ("CSV", "SVG", "PNG"):
        button = browser.find_element("css selector", f".export button[aria-label$='as {word}']")
        browser.execute_script("arguments[0].click()", button)
        name = tmp_path / f"force-curve.{word.lower()}"
        wait(lambda name=name: name.exists() and name.stat().st_size > 0, f"{name.name}")
    rows = (tmp_path / "force-curve.csv").read_text().splitlines()
    assert rows[0] == "series,Generation,Force RMSE (meV/Å)"
    assert '"ES-GAP, new",1,600' in rows
    assert (tmp_path / "force-curve.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "force-curve.svg").read_text()
    assert browser.get_log("browser") == []


def test_the_graph_zooms_and_leads_to_jobs(browser: Any, dashboard: str) -> None:
    emulate(browser, "light")
    open_page(browser, f"{dashboard}/campaign?name=small&generation=0")
    box = "return document.querySelector('.graph').getAttribute('viewBox')"
    home = browser.execute_script(box)
    browser.find_element("css selector", "button[aria-label='Zoom in']").click()
    assert browser.execute_script(box) != home
    browser.find_element("css selector", "button[aria-label='Show all']").click()
    assert [float(x) for x in browser.execute_script(box).split()] == [float(x) for x in home.split()]
    fits = "const one = document.querySelector('.graph-scroll'); return one.scrollWidth <= one.clientWidth"
    assert browser.execute_script(fits)
    browser.find_element("css selector", ".graph a").send_keys("\ue007")
    wait(lambda: "/job?number=1" in browser.current_url, "the job's page")


def accessibility_problems(browser: Any) -> list[str]:
    """Return what is missing: landmarks, one first heading, names of controls and drawings, unique identifiers."""
    found: list[str] = browser.execute_script((HERE / "accessibility.js").read_text(encoding="utf-8"))
    return found


def faint_texts(browser: Any) -> list[str]:
    """Return texts whose contrast to their background is too low."""
    script = (HERE / "contrast.js").read_text(encoding="utf-8")
    found: list[str] = browser.execute_script(script, LEAST_CONTRAST, LEAST_CONTRAST_LARGE)
    return found
