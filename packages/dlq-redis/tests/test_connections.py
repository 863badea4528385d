"""How a store gets to its server, and what it does not do there."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

import pytest
from django.test import override_settings

from dlq.errors import ConfigError, StoreNotReady, StoreUnavailable
from dlq.states import State
from dlq.testing.contract.builders import OUTCOMES, add, add_many, claim_ids, claim_one, register, state_of
from dlq_redis import connection
from dlq_redis.connection import Server, client
from dlq_redis.options import RedisOptions, ReliableRedisOptions
from dlq_redis.store import RedisStore
from proxy import Proxy
from topologies import Nodes


def works(server: Server) -> None:
    store = RedisStore("default", server)
    store.ping()
    assert state_of(store, add(store)) is State.READY
    connection.release(server)


# --- Ways ---


def test_a_unix_socket(nodes: Nodes, tmp_path: Path) -> None:
    nodes.start("--unixsocket", str(tmp_path / "redis.sock"))
    works(Server(url=f"unix://{tmp_path / 'redis.sock'}"))


def test_a_user_with_no_more_rights_than_needed(nodes: Nodes) -> None:
    node = nodes.start()
    rights = ["~{dlq:*", "+@all", "-@dangerous", "+info"]
    node.client.execute_command("ACL", "SETUSER", "shop", "on", ">se:cret", *rights)  # type: ignore[no-untyped-call]
    url = f"redis://shop:se%3Acret@127.0.0.1:{node.port}/0"
    works(Server(url=url))
    with pytest.raises(StoreNotReady, match=r"refuses us .*user may run scripts"):
        RedisStore("default", Server(url=url), prefix="other").ping()
    with pytest.raises(StoreNotReady, match="Check the user and the password") as error:
        RedisStore("default", Server(url=url.replace("se%3Acret", "wrong"))).ping()
    assert "wrong@" not in str(error.value)


def test_tls(nodes: Nodes, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    make += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(make, check=True, capture_output=True)
    files = ["--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--tls-auth-clients", "no"]
    node = nodes.start("--tls-replication", "no", *files)
    node.client.config_set("tls-port", 0)
    port = nodes.free_port()
    node.client.config_set("tls-port", port)
    url = f"rediss://127.0.0.1:{port}/0"
    works(Server(url=url, settings=(("ssl_ca_certs", str(certificate)),)))
    with pytest.raises(StoreUnavailable, match="certificate verify failed"):
        RedisStore("default", Server(url=url)).ping()


def test_another_database_of_a_server_is_another_world(server: Server) -> None:
    add(RedisStore("default", server))
    other = Server(url=server.url.removesuffix("/0") + "/1")
    assert RedisStore("default", other).waiting() == []


def test_backends_and_prefixes_share_nothing(server: Server) -> None:
    add(RedisStore("default", server))
    assert RedisStore("default", server, prefix="shop").waiting() == []
    assert RedisStore("dlq:default", server, prefix="dlq").waiting() == []


def test_settings_of_connections_may_be_of_any_kind(server: Server) -> None:
    given = {"socket_keepalive_options": {}, "client_name": "jobs"}
    found = RedisOptions.parse({"url": server.url, "connection": given}).server()
    works(found)
    assert found == RedisOptions.parse({"url": server.url, "connection": given}).server()


# --- What is never done by itself ---


def test_an_exchange_whose_reply_was_lost_is_not_repeated(server: Server, proxy: Proxy) -> None:
    store = RedisStore("default", Server(url=proxy.url(server.url)))
    worker = register(store)
    store.exchange(worker, [], [], 0)  # Now the server knows the script.
    add_many(store, 5)
    proxy.withhold_replies = True
    cut = threading.Timer(0.3, proxy.cut)
    cut.start()
    with pytest.raises(StoreUnavailable):
        store.exchange(worker, [], ["default"], 2)
    cut.join()
    proxy.withhold_replies = False
    assert len(store.held(worker.id, 5)) == 2
    connection.release(store.server)


def test_every_call_has_an_end(server: Server, proxy: Proxy) -> None:
    store = RedisStore("default", Server(url=proxy.url(server.url), timeout=0.2))
    store.waiting()
    proxy.withhold_replies = True
    with pytest.raises(StoreUnavailable, match="Timeout"):
        store.waiting()
    proxy.withhold_replies = False
    assert store.waiting() == []
    connection.release(store.server)


def test_a_connection_that_broke_while_nobody_used_it_is_no_error(server: Server, proxy: Proxy) -> None:
    store = RedisStore("default", Server(url=proxy.url(server.url)))
    store.waiting()
    proxy.cut()
    proxy.cut()  # It comes back when what the first one has reset is closed.
    assert state_of(store, add(store)) is State.READY


# --- Whose connection it is ---


def test_stores_and_threads_share_the_pool_of_their_process(server: Server) -> None:
    shared = client(server)
    seen: list[object] = []
    thread = threading.Thread(target=lambda: seen.append(client(Server(url=server.url))))
    thread.start()
    thread.join()
    assert seen == [shared]


def test_a_dedicated_thread_has_its_own_until_it_gives_it_up(server: Server) -> None:
    store = RedisStore("default", server)
    shared = client(server)
    store.dedicate()
    own = client(server)
    assert own is not shared
    store.dedicate()
    assert client(server) is own
    store.close()
    assert client(server) is shared


def test_a_fork_shares_no_connection_with_its_parent(server: Server) -> None:
    store = RedisStore("default", server)
    store.dedicate()
    worker = register(store)
    ids = add_many(store, 200)
    child = os.fork()
    if child == 0:
        found = claim_ids(store, worker, 100)
        os._exit(0 if found == ids[:100] or len(found) == 100 else 1)
    mine = claim_ids(store, worker, 100)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(mine) == 100
    assert len(store.held(worker.id, 300)) == 200
    store.close()


# --- OPTIONS ---


def test_the_settings_of_a_cache_are_used(server: Server) -> None:
    caches = {
        "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
        "jobs": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": [server.url, "redis://replica:1"],
            "OPTIONS": {"client_name": "shop", "pool_class": "redis.BlockingConnectionPool"},
        },
    }
    with override_settings(CACHES=caches):
        found = RedisOptions.parse({"cache": "jobs"}).server()
        assert (found.url, found.settings) == (server.url, (("client_name", "shop"),))
        works(found)
        with pytest.raises(ConfigError, match="cache='default' must be an entry of CACHES with the backend"):
            RedisOptions.parse({"cache": "default"})


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            {"url": "localhost:6379"},
            "url='localhost:6379': Redis URL must specify one of the following schemes",
        ),
        ({"prefix": "{shop}"}, "prefix='{shop}' must be some text without braces"),
        ({"prefix": ""}, "prefix='' must be some text"),
        ({"cluster": True, "sentinels": ["a:1"]}, "cluster and sentinels exclude each other"),
        ({"sentinels": ["a"]}, "sentinels has 'a', which must be host:port"),
        ({"socket_timeout": 0}, "socket_timeout=0 must be more than 0 seconds"),
        ({"cache": "none"}, "cache='none' must be an entry of CACHES"),
        ({"uri": "redis://"}, "OPTIONS['uri'] is unknown"),
    ],
)
def test_a_wrong_option_is_named_with_its_value(options: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError) as error:
        RedisOptions.parse(options)
    assert says in str(error.value)


def test_the_backends_differ_in_what_they_promise() -> None:
    assert [options.parse({}).delivery for options in (RedisOptions, ReliableRedisOptions)] == [
        "at-most-once",
        "at-least-once",
    ]


def test_a_claim_outlives_the_connection_that_made_it(server: Server, proxy: Proxy) -> None:
    store = RedisStore("default", Server(url=proxy.url(server.url)))
    store.dedicate()
    worker = register(store)
    id = add(store)
    found = claim_one(store, worker)
    proxy.cut()
    with pytest.raises(StoreUnavailable):
        store.exchange(worker, [OUTCOMES["succeeded"](found)], [], 0)
    worker = store.reconcile(worker, [(found.id, found.token)])
    assert store.exchange(worker, [OUTCOMES["succeeded"](found)], [], 0).stale == []
    assert state_of(store, id) is State.SUCCEEDED
    store.close()
