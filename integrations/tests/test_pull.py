"""Pulls from a real SFTP server on loopback."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from django.contrib.auth.models import User

from integrations.connection_errors import (
    FolderUnreadable,
    HostKeyChanged,
    HostKeyUnknown,
    LoginRefused,
    PullFailed,
    ServerUnreachable,
)
from integrations.engine.contract import load_contract
from integrations.models import Delivery, PulledFile, SftpConnection, Source
from integrations.services import sftp_folder
from integrations.services.connections import (
    ConnectionValues,
    look_up_host_key,
    pin_host_key,
    save_connection,
)
from integrations.services.contracts import activate_contract, changes_against_active, save_contract
from integrations.services.credentials import NO_SECRET, Secret
from integrations.services.sources import create_source
from integrations.tests.conftest import CONTRACT, GOOD, HEADER, ProbeSink, probe_rows
from integrations.tests.sftp_server import PASSWORD, USER, SftpServer
from ledger.execution import execute, run_inline
from ledger.models import AuditEvent, Run
from ledger.schema import connection as db

TEXT = "\n".join((HEADER, *GOOD)) + "\n"
KEYS = {kind: asyncssh.generate_private_key(kind) for kind in ("ssh-ed25519", "ecdsa-sha2-nistp256")}
OTHER = asyncssh.generate_private_key("ssh-ed25519")
WIDE = CONTRACT.replace("files:\n", 'files:\n  products: {pattern: "products*.csv", format: csv}\n')


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SftpServer]:
    root = tmp_path / "served"
    root.mkdir()
    made = SftpServer(root)
    made.start(host_keys=[KEYS["ssh-ed25519"]])
    yield made
    made.end()


@pytest.fixture
def source(alpha: object, sink: ProbeSink) -> Source:
    made = create_source(name="till", source_type="smb_csv", actor=None)
    row = save_contract(source=made, contract=load_contract(CONTRACT), actor=None)
    activate_contract(contract_id=row.pk, actor=None)
    return Source.objects.get(pk=made.pk)


def values(server: SftpServer, **changes: Any) -> ConnectionValues:
    given: dict[str, Any] = {
        "host": "127.0.0.1", "port": server.port, "username": USER, "folder": ".", "auth": "password",
        "after_taking": "move", "move_to": "taken", "stable_seconds": 1, "enabled": True, "password": Secret(PASSWORD),
    }  # fmt: skip
    return ConnectionValues(**{**given, **changes})


def connect(source: Source, server: SftpServer, *, pin: bool = True, **changes: Any) -> SftpConnection:
    row = save_connection(source_id=source.pk, values=values(server, **changes), actor=None)
    if pin:
        shown = look_up_host_key(connection=row, actor=None)
        row = pin_host_key(connection_id=row.pk, public_key=shown, actor=None)
    return row


def pull(row: SftpConnection, *, load: bool = True) -> dict[str, Any]:
    """Pull in this process and load what came."""
    run = run_inline(kind="integrations.sftp_pull", scope=row.source.name, inputs={"connection": row.pk})
    if load:
        tenant = db.tenant
        for number in run.outputs["deliveries"]:
            execute("alpha", str(Delivery.objects.get(pk=number).run_id))
            db.set_tenant(tenant)
    outputs: dict[str, Any] = run.outputs
    return outputs


def why(outputs: dict[str, Any], name: str) -> str:
    return " ".join(left["why"] for left in outputs["left"] if left["name"] == name)


def test_pull__file_lies_ready__is_loaded_and_moved(source: Source, server: SftpServer) -> None:
    server.put("sales.csv", TEXT)
    server.put("readme.txt", "hello")
    (server.root / "sales.d").mkdir()
    row = connect(source, server)
    outputs = pull(row)
    assert outputs["taken"] == ["sales.csv"] == outputs["moved"] and outputs["left"] == []
    assert Delivery.objects.get().state == "loaded" and len(probe_rows()) == 3
    assert server.names("taken") == ["sales.csv"] and server.names() == ["readme.txt"]
    assert PulledFile.objects.get().moved_to == "taken/sales.csv"
    assert pull(row)["taken"] == []


def test_pull__remembering__leaves_the_file_and_takes_it_once(source: Source, server: SftpServer) -> None:
    server.put("sales.csv", TEXT)
    row = connect(source, server, after_taking="remember")
    assert pull(row)["taken"] == ["sales.csv"]
    assert server.names() == ["sales.csv"]
    reads = list(server.behaviour.reads)
    assert pull(row)["taken"] == [] and server.behaviour.reads == reads
    server.put("sales.csv", TEXT.replace("apple,3", "apple,7"), modified=int(time.time()) + 5)
    assert pull(row)["taken"] == ["sales.csv"]
    assert Delivery.objects.count() == 2


def test_pull__name_is_taken_already_where_it_is_put_aside__nothing_is_overwritten(
    source: Source, server: SftpServer
) -> None:
    (server.root / "taken").mkdir()
    (server.root / "taken" / "sales.csv").write_text("an older one")
    server.put("sales.csv", TEXT)
    pull(connect(source, server))
    assert server.names("taken") == ["sales-2.csv", "sales.csv"]
    assert (server.root / "taken" / "sales.csv").read_text() == "an older one"


def test_pull__killed_after_the_delivery__moves_it_and_does_not_load_twice(source: Source, server: SftpServer) -> None:
    server.put("sales.csv", TEXT)
    row = connect(source, server, after_taking="remember")
    pull(row)
    row.after_taking = "move"
    row.save()
    outputs = pull(row)
    assert outputs["taken"] == [] and outputs["moved"] == ["sales.csv"]
    assert Delivery.objects.count() == 1 and server.names("taken") == ["sales.csv"]


def test_pull__killed_before_it_was_remembered__is_the_same_delivery(source: Source, server: SftpServer) -> None:
    server.put("sales.csv", TEXT)
    row = connect(source, server, after_taking="remember")
    pull(row)
    PulledFile.objects.all().delete()
    pull(row)
    assert Delivery.objects.count() == 1 and PulledFile.objects.get().delivery == Delivery.objects.get()


def test_pull__file_fails_under_the_contract__is_not_taken_again(source: Source, server: SftpServer) -> None:
    server.put("sales.csv", "nonsense\n1\n")
    row = connect(source, server, after_taking="remember")
    pull(row)
    assert Delivery.objects.get().state in ("refused", "held")
    assert pull(row)["taken"] == [] and Delivery.objects.count() == 1


def test_pull__file_that_grows__waits_with_its_neighbours(source: Source, server: SftpServer) -> None:
    server.put("sales_1.csv", TEXT)
    server.put("sales_2.csv", TEXT.replace("s1", "s2"))

    def grow(number: int) -> None:
        with (server.root / "sales_2.csv").open("a") as stream:
            stream.write("2024-03-09,s2,apple,1,1.50\n")

    row = connect(source, server)
    server.behaviour.on_list = grow
    outputs = pull(row)
    assert outputs["taken"] == [] and "still arriving" in why(outputs, "sales_2.csv")
    assert "belong together" in why(outputs, "sales_1.csv")
    server.behaviour.on_list = lambda number: None
    assert pull(row)["taken"] == ["sales_1.csv", "sales_2.csv"]
    assert Delivery.objects.count() == 1


def test_pull__file_replaced_while_it_is_taken__is_left_for_the_next_pull(source: Source, server: SftpServer) -> None:
    path = server.put("sales.csv", TEXT)

    def replace(name: str, offset: int) -> None:
        path.write_text(TEXT + "2024-03-09,s1,apple,1,1.50\n")

    row = connect(source, server)
    server.behaviour.on_read = replace
    outputs = pull(row)
    assert outputs["taken"] == [] and "changed while it was taken" in why(outputs, "sales.csv")
    assert not Delivery.objects.exists()


def test_pull__connection_drops_in_mid_transfer__keeps_nothing_and_the_next_one_takes_it(
    source: Source, server: SftpServer
) -> None:
    rows = "".join(f"2024-03-01,s{number},apple,3,1.50\n" for number in range(60_000))
    server.put("sales.csv", HEADER + "\n" + rows)
    row = connect(source, server)
    server.behaviour.drop_after = 500_000
    with pytest.raises(ServerUnreachable, match="broke the connection off"):
        pull(row)
    row.refresh_from_db()
    assert "broke the connection off" in row.last_error and row.last_pull_at is not None
    assert not Delivery.objects.exists()
    server.behaviour.drop_after = None
    assert pull(row)["taken"] == ["sales.csv"]
    row.refresh_from_db()
    assert row.last_error == ""


def test_pull__server_hangs__ends_with_words(
    source: Source, server: SftpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("integrations.services.sftp.ANSWER_SECONDS", 1.0)
    server.put("sales.csv", TEXT)
    row = connect(source, server)
    server.behaviour.hang = True
    with pytest.raises(ServerUnreachable, match="stopped answering"):
        pull(row)


def test_pull__takes_longer_than_allowed__is_cut_off(
    source: Source, server: SftpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("integrations.services.pull.PULL_SECONDS", 2.0)
    server.put("sales.csv", TEXT)
    row = connect(source, server)
    server.behaviour.hang = True
    with pytest.raises(ServerUnreachable, match="was cut off"):
        pull(row)


def test_pull__no_key_pinned__is_refused_with_the_fingerprint(source: Source, server: SftpServer) -> None:
    row = connect(source, server, pin=False)
    with pytest.raises(HostKeyUnknown) as caught:
        pull(row)
    shown = KEYS["ssh-ed25519"].get_fingerprint()  # asyncssh's own
    assert shown in str(caught.value) and PASSWORD not in str(caught.value)


def test_pull__key_changed__is_refused_with_both_fingerprints_and_sends_no_password(
    source: Source, server: SftpServer
) -> None:
    row = connect(source, server)
    server.stop()
    server.start(host_keys=[OTHER])
    with pytest.raises(HostKeyChanged) as caught:
        pull(row)
    assert KEYS["ssh-ed25519"].get_fingerprint() in str(caught.value) and OTHER.get_fingerprint() in str(caught.value)
    row.refresh_from_db()
    assert row.last_error == str(caught.value)


def test_pull__server_has_several_keys__the_pinned_kind_is_asked_for(source: Source, server: SftpServer) -> None:
    server.stop()
    server.start(host_keys=[KEYS["ecdsa-sha2-nistp256"]])
    row = connect(source, server)
    server.stop()
    server.start(host_keys=list(KEYS.values()))
    server.put("sales.csv", TEXT)
    assert row.host_key.startswith("ecdsa") and pull(row)["taken"] == ["sales.csv"]


def test_pull__weak_host_key__is_refused(source: Source, server: SftpServer) -> None:
    row = connect(source, server)
    server.stop()
    server.start(host_keys=[asyncssh.generate_private_key("ssh-rsa", key_size=1024)])
    with pytest.raises(Exception, match="1024 bits, which is too weak"):
        pull(row)


def test_pull__wrong_password__says_so_without_it(source: Source, server: SftpServer) -> None:
    row = connect(source, server, password=Secret("wrong-and-secret"))
    with pytest.raises(LoginRefused) as caught:
        pull(row)
    assert "wrong-and-secret" not in str(caught.value) and "password" in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "passphrase"),
    [("ssh-ed25519", "open sesame"), ("ssh-ed25519", ""), ("ecdsa-sha2-nistp384", ""), ("ssh-rsa", "")],
)
def test_pull__with_a_private_key__gets_in(source: Source, server: SftpServer, kind: str, passphrase: str) -> None:
    sized: dict[str, Any] = {"key_size": 2048} if kind == "ssh-rsa" else {}
    key = asyncssh.generate_private_key(kind, **sized)
    text = key.export_private_key("openssh", passphrase=passphrase or None).decode()
    server.stop()
    server.start(host_keys=[KEYS["ssh-ed25519"]], password="", client_keys=[key.convert_to_public()])
    server.put("sales.csv", TEXT)
    row = connect(
        source, server, auth="key", password=NO_SECRET, private_key=Secret(text), passphrase=Secret(passphrase)
    )
    assert pull(row)["taken"] == ["sales.csv"]
    assert row.public_key == " ".join(key.export_public_key("openssh").decode().split()[:2])


def test_pull__key_offered_where_only_passwords_are_taken__says_what_the_server_takes(
    source: Source, server: SftpServer
) -> None:
    text = OTHER.export_private_key("openssh").decode()
    row = connect(source, server, auth="key", password=NO_SECRET, private_key=Secret(text))
    with pytest.raises(LoginRefused, match=r"The server takes: .*password"):
        pull(row)


def test_pull__odd_entries__are_left_or_ignored_with_words(source: Source, server: SftpServer) -> None:
    server.put("sales.csv", TEXT)
    server.put("sales_empty.csv", "")
    server.put("sales_late.csv.part", "x")
    server.put(".sales_hidden.csv", TEXT)
    server.put("sales_\x01.csv", TEXT)
    server.put("sales_a..b.csv", TEXT)
    (server.root / "sales_link.csv").symlink_to(server.root / "sales.csv")
    (server.root / "sales_dir.csv").mkdir()
    outputs = pull(connect(source, server))
    assert outputs["taken"] == ["sales.csv"]
    assert "empty" in why(outputs, "sales_empty.csv") and "link" in why(outputs, "sales_link.csv")
    assert "signs" in why(outputs, "sales_ .csv") and "signs" in why(outputs, "sales_a..b.csv")
    assert {left["name"] for left in outputs["left"]} == {
        "sales_empty.csv", "sales_link.csv", "sales_ .csv", "sales_a..b.csv",
    }  # fmt: skip


def test_pull__too_large_file__is_left(source: Source, server: SftpServer, settings: Any) -> None:
    settings.UPLOAD_MAX_BYTES = 100
    server.put("sales.csv", TEXT * 3)
    outputs = pull(connect(source, server))
    assert outputs["taken"] == [] and "larger than" in why(outputs, "sales.csv")
    assert server.behaviour.reads == []


def test_pull__permission_denied__is_told(source: Source, server: SftpServer) -> None:
    server.put("sales.csv", TEXT)
    row = connect(source, server)
    server.behaviour.deny_rename = True
    outputs = pull(row)
    assert outputs["taken"] == ["sales.csv"] and "not taken again" in why(outputs, "sales.csv")
    assert pull(row)["taken"] == []


def test_pull__folder_missing__is_told(source: Source, server: SftpServer) -> None:
    with pytest.raises(FolderUnreadable, match="is not there"):
        pull(connect(source, server, folder="nowhere"))


def test_pull__folder_with_too_many_entries__is_refused(
    source: Source, server: SftpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sftp_folder, "MAX_ENTRIES", 20)
    for number in range(30):
        server.put(f"note_{number}.txt", "x")
    with pytest.raises(FolderUnreadable, match="more than 20 entries"):
        pull(connect(source, server))


def test_pull__copy_beside_its_original__is_left_and_remembered(source: Source, server: SftpServer) -> None:
    server.put("sales_1.csv", TEXT)
    server.put("sales_2.csv", TEXT)
    row = connect(source, server)
    outputs = pull(row)
    assert outputs["taken"] == ["sales_1.csv"] and "copy of sales_1.csv" in why(outputs, "sales_2.csv")
    reads = list(server.behaviour.reads)
    assert "Refused before" in why(pull(row), "sales_2.csv") and server.behaviour.reads == reads


def test_pull__sales_and_products_together__are_one_delivery_and_days_apart_are_two(
    source: Source, server: SftpServer
) -> None:
    row = save_contract(source=source, contract=load_contract(WIDE), actor=None)
    changes = changes_against_active(source=source, contract=load_contract(WIDE))
    activate_contract(contract_id=row.pk, actor=None, confirmed=changes.digest if changes else None)
    now = int(time.time()) - 200_000
    server.put("sales_1.csv", TEXT, modified=now)
    server.put("products_1.csv", "sku,price\napple,1.5\npear,2\n", modified=now + 60)
    server.put("sales_2.csv", TEXT.replace("apple,3", "apple,9"), modified=now + 86_400)
    server.put("products_2.csv", "sku,price\napple,2.5\npear,2\n", modified=now + 2 * 86_400)
    outputs = pull(connect(source, server), load=False)
    names = [sorted(d.files.values_list("name", flat=True)) for d in Delivery.objects.order_by("pk")]
    assert names == [["products_1.csv", "sales_1.csv"], ["sales_2.csv"]]
    assert "waits for the sales file" in why(outputs, "products_2.csv")


def test_pull__nothing_listens__is_told(source: Source, server: SftpServer) -> None:
    row = connect(source, server)
    server.stop()
    with pytest.raises(ServerUnreachable, match="nothing listens"):
        pull(row)


def test_pull__private_address_where_it_is_not_allowed__is_refused_before_connecting(
    source: Source, server: SftpServer, settings: Any
) -> None:
    row = connect(source, server)
    settings.SFTP_PRIVATE_ADDRESSES = False
    with pytest.raises(PullFailed, match="private or local address"):
        pull(row)


def test_pull__secrets__stand_in_no_run_event_or_row(
    source: Source, server: SftpServer, make_user: Callable[..., User]
) -> None:
    row = connect(source, server)
    pull(row)
    kept = [str(vars(one)) for model in (Run, AuditEvent, SftpConnection) for one in model._default_manager.all()]
    assert kept and not any(PASSWORD in text for text in kept)
    assert PASSWORD not in repr(values(server))


def test_pull__connection_switched_off__is_refused(source: Source, server: SftpServer) -> None:
    row = connect(source, server, enabled=False)
    with pytest.raises(Exception, match="switched off"):
        pull(row)
