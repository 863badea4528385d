"""The comparison with other systems: what is said of them, and the table that it becomes."""

from __future__ import annotations

from bench.beside import PROCESSOR, STEPS, Peer, _peers, _table


def measured(name: str, needs: list[str], **rates: list[float]) -> Peer:
    names = dict(zip(("drain", "one", "many"), STEPS, strict=True))
    peer = Peer(name, needs, "redis", 100, f"{name} as it is.")
    for short, step in names.items():
        peer.rates[step] = rates[short]
    peer.rates[PROCESSOR] = [] if name == "raw" else [60.0]
    return peer


def test_of_each_system_it_is_known_where_its_jobs_are_and_how_many_it_gets() -> None:
    peers = _peers()
    assert {"dlq_db", "dlq_redis", "pgqueuer", "celery"} <= {peer.name for peer in peers}
    assert all(peer.about and peer.server in ("postgres", "redis") and peer.jobs >= 1000 for peer in peers)
    assert {peer.name for peer in peers if not peer.needs} == {"dlq_db", "dlq_redis"}


def test_the_table_has_the_fastest_first_and_says_how_far_from_the_best_other() -> None:
    ours = measured("dlq_redis", [], drain=[900, 1000, 1100], one=[50], many=[70])
    slow = measured("slow", ["slow"], drain=[10], one=[100], many=[700])
    raw = measured("raw", [], drain=[4000], one=[200], many=[7000])
    text = _table([slow, ours], {"redis": raw, "postgres": raw}, "3 rounds")
    on_redis = text.partition("| on Redis")[2].splitlines()
    assert on_redis[2:6] == [
        "| the server itself | 4,000 (4,000–4,000) | 200 (200–200) | 7,000 (7,000–7,000) | – |",
        "| **DLQ** | 1,000 (900–1,100) | 50 (50–50) | 70 (70–70) | 60 (60–60) |",
        "| slow | 10 (10–10) | 100 (100–100) | 700 (700–700) | 60 (60–60) |",
        (
            "| DLQ to the best other | 100.0 × slow, 0.25 of the server | 0.5 × slow, 0.25 of the server "
            "| 0.1 × slow, 0.01 of the server | |"
        ),
    ]


def test_what_could_not_be_measured_is_said() -> None:
    broken = Peer("broken", ["broken"], "redis", 1000, "Broken.", failed="drain: no such module")
    raw = measured("raw", [], drain=[4000], one=[200], many=[7000])
    assert "broken: drain: no such module" in _table([broken], {"redis": raw, "postgres": raw}, "1 round")
