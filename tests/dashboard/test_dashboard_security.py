"""The dashboard only reads, shows itself to whom it should, and escapes whatever the store holds."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from dashboard_client import ClientOf
from typer.testing import CliRunner

from ionloop.core.errors import InputError
from ionloop.core.files import sha256_of
from ionloop.core.states import State
from ionloop.deploy.dashboard import DashboardSettings
from ionloop.deploy.dashboard.security import COOKIE, cookie_value
from ionloop.deploy.dashboard.settings import TOKEN_VARIABLE, is_loopback, read_token
from ionloop.store.connection import Store
from ionloop.store.records import Artefact

TOKEN = "0123456789abcdef0123"
PATHS = (
    "/",
    "/campaign?name=small",
    "/configurations",
    "/models",
    "/results",
    "/job?number=1",
    "/revision",
    "/plotly.js",
    "/static/dashboard.js",
)
HOSTILE_NAMES = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'; DROP TABLE documents; --",
    "../../etc/passwd",
    "{{ 7 * 7 }}",
    "a b&c=d#e%2F\\f",
    "</script><svg/onload=alert(1)>",
    "javascript:alert(1)",
)


class Elements(HTMLParser):
    """Collects elements and what scripts without a type hold."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def elements(page: bytes) -> list[tuple[str, dict[str, str | None]]]:
    parser = Elements()
    parser.feed(page.decode())
    return parser.found


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "options"])
def test_nothing_but_reading_is_answered(client_of: ClientOf, finished_store: Store, method: str) -> None:
    client = client_of(finished_store)
    for path in PATHS:
        answer = getattr(client, method)(path)
        assert answer.status_code == 405, path
        assert answer.headers["Allow"] == "GET, HEAD"


def test_no_route_accepts_anything_else(client_of: ClientOf, finished_store: Store) -> None:
    rules = client_of(finished_store).application.url_map.iter_rules()
    assert {method for rule in rules for method in rule.methods or ()} <= {"GET", "HEAD", "OPTIONS"}


def test_looking_changes_nothing_in_the_store(client_of: ClientOf, finished_store: Store) -> None:
    client = client_of(finished_store)
    path = Path(finished_store.location)
    finished_store.close()
    before, files = sha256_of(path), sorted(finished_store.root.rglob("*"))
    for address in PATHS:
        assert client.get(address).status_code == 200, address
    finished_store.close()
    assert sha256_of(path) == before
    assert sorted(finished_store.root.rglob("*")) == files


def test_every_answer_carries_the_headers(client_of: ClientOf, finished_store: Store) -> None:
    client = client_of(finished_store)
    for path in (*PATHS, "/nothing", "/campaign?name=none"):
        headers = client.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "unsafe-inline" not in policy
        assert "unsafe-eval" not in policy
        assert "http" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "Access-Control-Allow-Origin" not in headers


def test_pages_hold_no_inline_script_and_name_no_other_server(client_of: ClientOf, finished_store: Store) -> None:
    client = client_of(finished_store)
    for path in PATHS[:6]:
        for tag, attributes in elements(client.get(path).data):
            assert not any(name.startswith("on") for name in attributes), (path, tag, attributes)
            assert "style" not in attributes, (path, tag)
            assert tag != "style"
            if tag == "script":
                assert attributes.get("type") == "application/json" or str(attributes["src"]).startswith("/static/")
            for name in ("src", "href"):
                target = attributes.get(name) or ""
                assert not target.startswith(("http:", "https:", "//", "javascript:")), (path, target)


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_hostile_texts_are_shown_as_text(
    client_of: ClientOf, store: Store, make_builder: type, builder: object, name: str
) -> None:
    hostile = make_builder(store, "good")
    hostile.name = name
    hostile.add_campaign()
    hostile.add_generation_0()
    failed = hostile.add_configuration(make_atoms(), 0, name, 9)
    hostile.add_label(failed, State.FAILED, f"reason {name}")
    hostile.add_job(f"generation-0/{name}", name, 0, "FIZZLED")
    client = client_of(store)
    number = store.database.fireworks.count_documents({})
    for path, query in (
        ("/", {}),
        ("/campaign", {"name": name}),
        ("/configurations", {"filter": f"state=failed sampler~{'*'}"}),
        ("/configurations", {"filter": name}),
        ("/configuration", {"id": failed.id}),
        ("/models", {"campaign": name}),
        ("/results", {"filter": name, "sort": name, "y": name}),
        ("/job", {"number": str(number)}),
    ):
        answer = client.get(path, query_string=query)
        assert answer.status_code == 200, (path, answer.data[-500:])
        page = answer.data.decode()
        for tag, attributes in elements(answer.data):
            assert tag not in ("img", "iframe", "object", "form-x"), (path, tag)
            assert not any(key.startswith("on") for key in attributes), (path, tag, attributes)
            assert not (attributes.get("href") or "").lower().startswith("javascript:")
        assert "<script>alert" not in page
        assert "49" not in page or "{{ 7" not in name or "{{ 7 * 7 }}" in page
    for path in ("/campaign", "/configuration", "/model", "/result", "/artefact"):
        answer = client.get(path, query_string={"name": name + "!", "id": name, "kind": name, "record": name})
        assert answer.status_code in (400, 404)
        assert b"<script>alert" not in answer.data
        assert b"<img" not in answer.data


def make_atoms() -> object:
    from ase import Atoms

    return Atoms("LiS", positions=[[0, 0, 0], [0, 0, 2.4]], cell=[5, 5, 5], pbc=True)


def test_links_to_a_hostile_campaign_lead_to_it(client_of: ClientOf, store: Store, make_builder: type) -> None:
    for name in HOSTILE_NAMES:
        hostile = make_builder(store, "good")
        hostile.name = name
        hostile.add_campaign()
    client = client_of(store)
    links = {
        attributes["href"]
        for tag, attributes in elements(client.get("/").data)
        if tag == "a" and (attributes.get("href") or "").startswith("/campaign?")
    }
    assert len(links) == len(HOSTILE_NAMES)
    for link in links:
        answer = client.get(str(link))
        assert answer.status_code == 200, link
        filters = [
            str(attributes["href"])
            for _, attributes in elements(answer.data)
            if (attributes.get("href") or "").startswith("/configurations?filter=")
        ]
        found = client.get(filters[0])
        assert b'role="alert"' not in found.data, (link, found.data[-800:])


# -- files ------------------------------------------------------------------------------------------------------------


def test_a_file_is_sent_whole_or_not_at_all(client_of: ClientOf, finished_store: Store) -> None:
    client = client_of(finished_store)
    model = next(iter(finished_store.models.find()))
    address = {"kind": "models", "record": model.id, "number": "0"}
    path = finished_store.artefacts.path(model.files[0].path)
    answer = client.get("/artefact", query_string=address)
    assert answer.status_code == 200
    assert answer.data == path.read_bytes()
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.mimetype == "application/octet-stream"
    path.write_bytes(path.read_bytes()[:-1] + b"X")
    assert client.get("/artefact", query_string=address).status_code == 410
    path.unlink()
    assert client.get("/artefact", query_string=address).status_code == 410


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "models/../../secret", "link"])
def test_a_record_that_points_out_of_the_root_gives_nothing(
    client_of: ClientOf, finished_store: Store, tmp_path: Path, path: str
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("nobody may read this\n")
    (finished_store.root / "link").symlink_to(secret)
    target = Path("/etc/passwd") if path == "/etc/passwd" else secret
    pointing = Artefact(path=path, size=target.stat().st_size, sha256=sha256_of(target))
    model = next(iter(finished_store.models.find()))
    finished_store.models.replace(model.model_copy(update={"files": [pointing]}))
    answer = client_of(finished_store).get("/artefact", query_string={"kind": "models", "record": model.id})
    assert answer.status_code == 410
    assert b"nobody may read this" not in answer.data


def test_no_path_in_the_address_reaches_a_file(client_of: ClientOf, finished_store: Store) -> None:
    client = client_of(finished_store)
    for path in ("/static/../settings.py", "/static/..%2fsettings.py", "/static//etc/passwd", "/artefact/../x"):
        assert client.get(path).status_code in (301, 308, 404), path


# -- limits -----------------------------------------------------------------------------------------------------------


def test_requests_are_limited(client_of: ClientOf, finished_store: Store) -> None:
    client = client_of(finished_store)
    assert client.get("/configurations", query_string={"filter": "a" * 5000}).status_code == 414
    assert client.get("/", data=b"x").status_code == 413
    many = " ".join(["generation=1"] * 13)
    assert b"too many" in client.get("/configurations", query_string={"filter": many}).data
    for page in ("-1", "1e9", "x", "9" * 40, "١"):
        assert client.get("/configurations", query_string={"page": page}).status_code == 400
    assert client.get("/configurations", query_string={"page": "999999"}).status_code == 200
    assert client.get("/job", query_string={"number": "1" * 11}).status_code == 400


def test_a_page_shows_so_many_rows_and_no_more(client_of: ClientOf, finished_store: Store) -> None:
    client = client_of(finished_store, page_rows=4)
    page = client.get("/configurations").data
    links = [one for _, one in elements(page) if (one.get("href") or "").startswith("/configuration?")]
    assert len(links) == 4


# -- who may look -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "[::1]", "localhost", "127.3.2.1"])
def test_loopback_needs_no_token(host: str) -> None:
    assert is_loopback(host)
    assert DashboardSettings(host=host).token is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", ""])
def test_elsewhere_needs_a_token(host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(InputError, match="token"):
        DashboardSettings(host=host)
    assert DashboardSettings(host=host, token=TOKEN).host == host


def test_a_token_is_long_secret_and_hidden(token_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="16"):
        DashboardSettings(token="short")
    assert TOKEN not in repr(DashboardSettings(token=TOKEN))
    assert read_token(token_file) == TOKEN
    token_file.chmod(0o644)
    with pytest.raises(InputError, match="chmod 600"):
        read_token(token_file)
    with pytest.raises(InputError, match="cannot be read"):
        read_token(token_file.with_name("none"))
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    assert read_token(None) is None
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    assert read_token(None) == TOKEN


def test_the_command_refuses_other_hosts_without_a_token(finished_store: Store) -> None:
    import typer

    from ionloop.cli.dashboard import register

    app = typer.Typer()
    register(app)
    result = CliRunner().invoke(app, ["--host", "0.0.0.0", "--store", finished_store.location])
    assert isinstance(result.exception, InputError)
    assert "token" in str(result.exception)


def test_without_the_token_nothing_is_shown(client_of: ClientOf, finished_store: Store) -> None:
    client = client_of(finished_store, token=TOKEN, host="0.0.0.0")
    for path in PATHS:
        if path.startswith("/static/"):
            continue
        for given in ({}, {"Authorization": "Bearer wrong"}, {"Cookie": f"{COOKIE}={TOKEN}"}):
            answer = client.get(path, headers=given)
            assert answer.status_code == 401, path
            assert b"small" not in answer.data
    assert client.get("/", query_string={"token": "wrong"}).status_code == 401
    assert client.get("/", query_string={"token": "ü"}).status_code == 401


def test_the_token_becomes_a_cookie_and_leaves_the_address(client_of: ClientOf, finished_store: Store) -> None:
    client = client_of(finished_store, token=TOKEN, host="0.0.0.0")
    answer = client.get("/campaign", query_string={"name": "small", "token": TOKEN})
    assert answer.status_code == 302
    assert answer.headers["Location"] == "/campaign?name=small"
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert TOKEN not in cookie
    assert cookie_value(TOKEN) in cookie
    assert client.get("/campaign?name=small").status_code == 200
    assert (
        client_of(finished_store, token=TOKEN).get("/", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    )


def test_the_redirection_stays_here(client_of: ClientOf, finished_store: Store) -> None:
    client = client_of(finished_store, token=TOKEN)
    for path in ("//evil.example/", "/\\evil.example/"):
        answer = client.get(path, query_string={"token": TOKEN})
        assert not answer.headers.get("Location", "/").startswith(("//", "/\\", "http://evil"))


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8484", "127.0.0.1.evil.example", ""])
def test_another_host_name_is_refused_where_there_is_no_token(
    client_of: ClientOf, finished_store: Store, host: str
) -> None:
    answer = client_of(finished_store).get("/", headers={"Host": host})
    assert answer.status_code in (400, 421)
    assert b"small" not in answer.data


def test_an_odd_document_takes_no_page_away(client_of: ClientOf, finished_store: Store) -> None:
    database = finished_store.database
    database.fireworks.insert_one({"fw_id": "x", "state": 3, "spec": None})
    database.configurations.insert_one({"_id": "odd", "structure": {"numbers": ["x"]}})
    database.labels.insert_one({"_id": "odd", "state": "none of ours"})
    database.results.insert_one({"_id": "odd", "kind": {"$gt": ""}})
    database.campaigns.insert_one({"_id": "odd", "settings": []})
    database.workflows.insert_one({"links": {"a": "b"}})
    client = client_of(finished_store)
    for path in PATHS:
        assert client.get(path).status_code == 200, path
    assert json.loads(client.get("/revision").data)["revision"] >= 1
