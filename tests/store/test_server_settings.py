"""Addresses, credentials and what is never shown: everything about a server that needs none."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pymongo
import pytest
from pymongo.errors import AutoReconnect, ConfigurationError, OperationFailure, ServerSelectionTimeoutError

from ionloop.core.errors import InputError
from ionloop.store import retrying
from ionloop.store.clients import connect, connect_to_server
from ionloop.store.connection import MAX_DOCUMENT_BYTES, KeyNotStorable, RecordTooLarge
from ionloop.store.jobs.launchpad import open_launchpad
from ionloop.store.records import ResultRecord
from ionloop.store.retrying import (
    LONGEST_PAUSE_S,
    MOST_BREAKS,
    Patience,
    RetryingClient,
    StoreUnreachable,
    is_passing,
    pauses,
)
from ionloop.store.server import (
    client_options,
    complaint_about_file,
    explain_server_error,
    is_server,
    read_credentials,
    redacted,
    server_address,
    without_authentication,
)

SECRET = "s3cr/t@word"


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("USER", "PASSWORD", "CREDENTIALS", "TLS_KEY_PASSWORD"):
        monkeypatch.delenv(f"IONLOOP_STORE_{name}", raising=False)


def credentials_file(folder: Path, text: str = "user: ada\npassword: a:b #c\n", mode: int = 0o600) -> Path:
    path = folder / "credentials"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_an_address_says_where_the_server_is() -> None:
    address = server_address("mongodb://one:27018,two/team?tls=true&authSource=admin")
    assert (address.hosts, address.database, address.uses_tls, address.is_local) == (
        ("one", "two"),
        "team",
        True,
        False,
    )
    assert server_address("mongodb://localhost").database == "ionloop"
    assert server_address("mongodb://localhost").is_local
    service = server_address("mongodb+srv://cluster.example.org/team?retryWrites=true")
    assert (service.database, service.uses_tls, service.is_local) == ("team", True, False)
    assert is_server("MongoDB://host")


@pytest.mark.parametrize(
    "location",
    [
        f"mongodb://ada:{SECRET}@host/ionloop",
        "mongodb://ada@host",
        f"mongodb+srv://ada:{SECRET}@host/",
        f"mongodb://host/?tls=true&tlsCertificateKeyFilePassword={SECRET}",
        f"mongodb://host/?authMechanismProperties=AWS_SESSION_TOKEN:{SECRET}",
    ],
)
def test_an_address_with_a_secret_is_refused_and_not_repeated(location: str) -> None:
    with pytest.raises(InputError, match="IONLOOP_STORE_PASSWORD") as caught:
        server_address(location)
    assert SECRET not in str(caught.value)
    assert "@word" not in str(caught.value)


@pytest.mark.parametrize("location", ["mongodb://", "mongodb://host:port", "mongodb://host/?tls=perhaps"])
def test_a_malformed_address_is_refused(location: str) -> None:
    with pytest.raises(InputError, match="is no address of a server"):
        server_address(location)


def test_a_stranger_says_nothing_of_who_we_are() -> None:
    uri = "mongodb://host/x?authMechanism=MONGODB-X509&tls=true&authSource=admin"
    assert without_authentication(uri) == "mongodb://host/x?tls=true"
    assert without_authentication("mongodb://host/?authSource=x") == "mongodb://host/"


def test_texts_lose_their_secrets() -> None:
    text = f"cannot reach mongodb://ada:{SECRET}@host/x?tlsCertificateKeyFilePassword={SECRET}&tls=true today"
    assert redacted(text) == "cannot reach mongodb://***@host/x?tlsCertificateKeyFilePassword=***&tls=true today"


def test_credentials_come_from_the_environment_or_a_private_file(tmp_path: Path) -> None:
    assert not read_credentials({})
    found = read_credentials({"IONLOOP_STORE_USER": "ada", "IONLOOP_STORE_PASSWORD": SECRET})
    assert (found.user, found.password) == ("ada", SECRET)
    assert SECRET not in repr(found)
    found = read_credentials({"IONLOOP_STORE_CREDENTIALS": str(credentials_file(tmp_path))})
    assert (found.user, found.password) == ("ada", "a:b #c")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o660, 0o644, 0o601, 0o777])
def test_a_file_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = credentials_file(tmp_path, mode=mode)
    with pytest.raises(InputError, match=r"can be used by others.*chmod 600"):
        read_credentials({"IONLOOP_STORE_CREDENTIALS": str(path)})
    assert "can be used by others" in (complaint_about_file(path) or "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SECRET, "line 1 is not understood"),
        (f"user: ada\npasswort: {SECRET}", "line 2 is not understood"),
        (f"user: ada\nuser: {SECRET}", "line 2 is not understood"),
        ("user:", "line 1 is not understood"),
        ("password: x", "names no user"),
        ("# nothing\n", "names no user"),
    ],
)
def test_a_file_that_is_not_understood_is_refused_without_being_quoted(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_credentials({"IONLOOP_STORE_CREDENTIALS": str(credentials_file(tmp_path, text))})
    assert SECRET not in str(caught.value)


def test_a_missing_file_a_folder_two_sources_and_a_lonely_password_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(InputError, match="IONLOOP_STORE_CREDENTIALS"):
            read_credentials({"IONLOOP_STORE_CREDENTIALS": str(path)})
    with pytest.raises(InputError, match="unset one"):
        read_credentials({"IONLOOP_STORE_CREDENTIALS": "x", "IONLOOP_STORE_USER": "ada"})
    with pytest.raises(InputError, match="without a user"):
        read_credentials({"IONLOOP_STORE_PASSWORD": SECRET})


def test_the_driver_gets_the_credentials_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IONLOOP_STORE_USER", "ada")
    monkeypatch.setenv("IONLOOP_STORE_PASSWORD", SECRET)
    address = server_address("mongodb://host/team?w=1&serverSelectionTimeoutMS=7")
    options = client_options(address, read_credentials())
    assert options["password"] == SECRET
    # What the address says goes first.
    assert not {"w", "serverSelectionTimeoutMS"} & options.keys()
    client = connect_to_server("mongodb://localhost:1/team?authSource=admin")
    assert client.write_concern.document == {"w": "majority", "j": True}
    assert SECRET not in repr(client)
    assert client.options.pool_options._credentials.source == "admin"
    assert client.options.pool_options._credentials.password == SECRET
    client.close()


def test_fireworks_learns_the_address_only(monkeypatch: pytest.MonkeyPatch) -> None:
    from ionloop.store.jobs.launchpad import StoreLaunchPad, install_client

    monkeypatch.setenv("IONLOOP_STORE_USER", "ada")
    monkeypatch.setenv("IONLOOP_STORE_PASSWORD", SECRET)
    install_client()
    launchpad = StoreLaunchPad(host="mongodb://localhost:1/", name="ionloop", uri_mode=True)
    assert isinstance(launchpad.client, RetryingClient)
    assert SECRET not in str(launchpad.to_dict())
    assert "ada" not in str(launchpad.to_dict())
    launchpad.client.close()


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (OperationFailure("Authentication failed.", 18), "authSource"),
        (OperationFailure("not authorized on ionloop", 13), "roles of the user"),
        (ServerSelectionTimeoutError("SSL handshake failed: certificate verify failed"), "tlsCAFile"),
        (ServerSelectionTimeoutError("connection refused, Timeout: 10s, Topology"), "server runs"),
        (ConfigurationError("unknown option"), "options of the address"),
    ],
)
def test_each_failure_has_its_advice(error: Exception, advice: str) -> None:
    text = str(explain_server_error(error, server_address("mongodb://host/")))
    assert advice in text
    assert "Topology" not in text


def test_a_server_that_is_not_there_is_told_within_seconds_at_the_start() -> None:
    with pytest.raises(InputError, match="mongodb://localhost:1/ cannot be used"):
        open_launchpad("mongodb://localhost:1/", server_timeout_s=0.1)


# -- retries -----------------------------------------------------------------------------------------------------


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[RetryingClient]:
    """A client without a server, whose pauses take no time."""
    monkeypatch.setattr(retrying.time, "sleep", lambda _seconds: None)
    monkeypatch.setattr(RetryingClient, "_answers", lambda _self: False)
    with RetryingClient("mongodb://localhost:1/", connect=False) as opened:
        yield opened


def failing(times: int, error: Exception) -> tuple[list[int], object]:
    calls: list[int] = []

    def operation() -> str:
        calls.append(1)
        if len(calls) <= times:
            raise error
        return "done"

    return calls, operation


@pytest.mark.parametrize(
    "error", [AutoReconnect("lost"), ServerSelectionTimeoutError("none"), OperationFailure("shutting down", 91)]
)
def test_a_lost_connection_is_tried_again(client: RetryingClient, error: Exception) -> None:
    calls, operation = failing(5, error)
    assert client.patiently(operation) == "done"
    assert len(calls) == 6
    assert client.last_outage_end > 0


@pytest.mark.parametrize("error", [OperationFailure("no rights", 13), ValueError("x"), ConfigurationError("y")])
def test_what_waiting_does_not_mend_is_raised_at_once(client: RetryingClient, error: Exception) -> None:
    calls, operation = failing(5, error)
    with pytest.raises(type(error)):
        client.patiently(operation)
    assert len(calls) == 1


def test_patience_ends_with_a_reason_without_secrets(client: RetryingClient, caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []
    client.patience = Patience(limit_s=0.0, give_up=told.append)
    _, operation = failing(9, AutoReconnect(f"mongodb://ada:{SECRET}@host: lost"))
    with caplog.at_level(logging.WARNING), pytest.raises(StoreUnreachable, match="nothing is lost"):
        client.patiently(operation)
    assert len(told) == 1
    assert SECRET not in told[0] + caplog.text


def test_an_operation_at_which_the_server_breaks_off_is_given_up(
    client: RetryingClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RetryingClient, "_answers", lambda _self: True)
    client.patience = Patience(limit_s=1e9)
    calls, operation = failing(99, AutoReconnect("connection closed"))
    with pytest.raises(StoreUnreachable, match="breaks off at this operation"):
        client.patiently(operation)
    assert len(calls) == MOST_BREAKS


def test_pauses_double_up_to_a_limit() -> None:
    taken = [pause for pause, _ in zip(pauses(lambda: 0.5), range(12), strict=False)]
    assert taken[:3] == [0.2, 0.4, 0.8]
    assert max(taken) == taken[-1] == LONGEST_PAUSE_S


def test_what_is_expendable_is_tried_once_and_then_not_for_a_while(client: RetryingClient) -> None:
    calls, operation = failing(9, AutoReconnect("lost"))
    for _ in range(3):
        with client.expendable() as reachable:
            if reachable:
                client.patiently(operation)
    assert len(calls) == 1


def test_every_operation_of_a_collection_is_repeated() -> None:
    """A newer pymongo may have operations that this list does not know."""
    from pymongo.collection import Collection

    asking = {
        name
        for name in vars(Collection)
        if not name.startswith("_") and callable(getattr(Collection, name)) and name not in NOT_REPEATED
    }
    ours = {*retrying.REPEATED_OPERATIONS, "find", "insert_one", "insert_many", "with_options"}
    assert asking <= ours


NOT_REPEATED = {
    "find_one",  # reads a cursor of `find`
    "find_raw_batches",
    "aggregate_raw_batches",
    "watch",
    "options",
    "create_search_index",
    "create_search_indexes",
    "drop_search_index",
    "update_search_index",
    "list_search_indexes",
    "next",
}


def test_collections_stay_ours_on_every_path(client: RetryingClient) -> None:
    database = client["ionloop"]
    for collection in (
        database["a"],
        database.a,
        database.get_collection("a"),
        database["a"]["b"],
        database.a.b,
        database.a.with_options(),
        client.get_database("ionloop").with_options()["a"],
    ):
        assert isinstance(collection, retrying.RetryingCollection)
    assert isinstance(database, pymongo.database.Database)


def test_a_repeated_insertion_is_no_duplicate(client: RetryingClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first attempt reached the server, its answer did not reach us."""
    stored: list[dict] = []

    def insert_one(_self: object, document: dict) -> None:
        if stored:
            raise pymongo.errors.DuplicateKeyError("E11000")
        stored.append(dict(document))
        raise AutoReconnect("lost")

    monkeypatch.setattr(pymongo.collection.Collection, "insert_one", insert_one)
    monkeypatch.setattr(retrying.RetryingCollection, "find_one", lambda _self, _filter: stored[0])
    result = client["ionloop"]["labels"].insert_one({"_id": "label-1", "energy": -1.0})
    assert result.inserted_id == "label-1"
    with pytest.raises(pymongo.errors.DuplicateKeyError):
        client["ionloop"]["labels"].insert_one({"_id": "label-1", "energy": -2.0})


def test_errors_are_told_apart() -> None:
    assert is_passing(AutoReconnect("x"))
    assert not is_passing(OperationFailure("x", 11000))
    assert not is_passing(ValueError())


def test_sockets_and_paths_are_no_servers(tmp_path: Path) -> None:
    embedded = connect(str(tmp_path / "store.db"))
    assert not isinstance(embedded, RetryingClient)


def test_a_record_that_is_too_large_is_refused_by_name(store) -> None:
    values = {"positions": [0.5] * (MAX_DOCUMENT_BYTES // 8)}
    record = ResultRecord(id="result-large", campaign="small", kind="test", values=values)
    for write in (store.results.add, store.results.replace):
        with pytest.raises(RecordTooLarge, match=r"'result-large'.*'values'.*stored as files"):
            write(record)
    assert store.results.count() == 0


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"curve.charges": 1}, "curve.charges"),
        ({"$where": 1}, r"\$where"),
        ({"slots": [None, {"image.1": 0.5}]}, "image.1"),
        ({"forces": [[{"P.1": 0.5}]]}, "P.1"),
    ],
)
def test_a_key_that_a_server_may_refuse_is_refused_everywhere(store, values, key) -> None:
    record = ResultRecord(id="result-dotted", campaign="small", kind="test", values=values)
    for write in (store.results.add, store.results.replace):
        with pytest.raises(KeyNotStorable, match=f"'result-dotted' has the key '{key}'"):
            write(record)
    assert store.results.count() == 0


def test_units_are_below_the_names_of_their_values(store) -> None:
    units = {"radius_A": "Å", "curve.charges": "e", "slots.jump_A": "Å"}
    record = ResultRecord(id="result-units", campaign="small", kind="test", values={}, units=units)
    assert record.units == {"radius_A": "Å", "curve": {"charges": "e"}, "slots": {"jump_A": "Å"}}
    assert ResultRecord.from_document(record.to_document() | {"units": units}) == record
    assert store.results.add(record) == store.results["result-units"] == record
    assert record.unit("radius_A") == record.unit("radius_A", "value") == "Å"
    assert record.unit("curve", "charges", "Li") == "e"
    assert record.unit("slots", "3", "jump_A") == "Å"
    assert record.unit("curve", "es-gap", "charges") == "e"
    assert record.unit("curve") == record.unit("curve", "scales") == record.unit("unknown", "value") == ""
