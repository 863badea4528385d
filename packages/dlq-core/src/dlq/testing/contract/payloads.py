"""Texts come out of a store byte for byte as they went in; no store looks inside."""

from __future__ import annotations

import pytest

from dlq import payload
from dlq.job import Failure, Note, Outcome
from dlq.store.base import Store
from dlq.testing.contract.builders import add, claim_one, record, settle_one
from dlq.workers import WorkerRef

__all__ = ["Payloads"]

TEXTS = {
    "escaped NUL": '[["a\\u0000b"],{}]',
    "empty list and mapping": '[[[],{},[[]],{"a":[]}],{}]',
    "whole number over 2**53": f"[[{2**60 + 1},{-(2**60) - 1},{10**40}],{{}}]",
    "floats": "[[1.0,1e400,-0.0,0.1,1E+2],{}]",
    "escaped lone surrogates": '[["\\ud800","\\udfff\\ud800"],{}]',
    "escaped pair": '[["\\ud83d\\ude00"],{}]',
    "other alphabets": '[["Größe, 大きさ, 😀, \u202e, \ufffe"],{}]',
    "quotes and backslashes": '[["\\\\ \\" \' `` %s %(a)s {} $1 :x ; --"],{}]',
    "equal keys and odd spaces": '[ [ ] ,\t{"b":1,"a":2,"b":3} ]\n ',
    "no JSON at all": "\r\n \t not JSON \n",
    "nothing": "",
    "a mebibyte": '[["' + "x" * 1024 * 1024 + '"],{}]',
}
each_text = pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())


class Payloads:
    """Arguments, options, results and tracebacks."""

    @each_text
    def test_a_payload_comes_back_as_it_was(self, store: Store, worker: WorkerRef, text: str) -> None:
        id = add(store, payload=text, overrides=text)
        assert (record(store, id).payload, record(store, id).overrides) == (text, text)
        found = claim_one(store, worker)
        assert (found.payload, found.overrides) == (text, text)
        (held,) = store.held(worker.id, 1)
        assert (held.payload, held.overrides) == (text, text)

    @each_text
    def test_a_result_comes_back_as_it_was(self, store: Store, worker: WorkerRef, text: str) -> None:
        add(store)
        outcome = Outcome.succeeded(claim_one(store, worker), text, 1.0)
        assert settle_one(store, worker, outcome).result == text

    @each_text
    def test_a_traceback_comes_back_as_it_was(self, store: Store, worker: WorkerRef, text: str) -> None:
        add(store)
        failure = Failure(exception="shop.errors.Größe", traceback=text)
        job = settle_one(store, worker, Outcome.failed(claim_one(store, worker), failure))
        assert [attempt.failure for attempt in job.history] == [failure]

    @each_text
    def test_metadata_and_a_message_come_back_as_they_were(
        self, store: Store, worker: WorkerRef, text: str
    ) -> None:
        id = add(store, metadata=text)
        found = claim_one(store, worker)
        assert (found.metadata, record(store, id).metadata) == (text, text)
        store.annotate([Note(id=id, token=found.token, metadata=text + " ", message=text)])
        assert (record(store, id).metadata, record(store, id).message) == (text + " ", text)

    @each_text
    def test_a_reason_comes_back_as_it_was(self, store: Store, worker: WorkerRef, text: str) -> None:
        waiting, running = add(store), add(store, queue="other")
        found = claim_one(store, worker, queues=["other"])
        store.cancel([waiting, running], text)
        assert [record(store, id).reason for id in (waiting, running)] == [text, text]
        assert settle_one(store, worker, Outcome.handed_back(found)).reason == text

    def test_arguments_that_payload_writes_are_read_equal(self, store: Store, worker: WorkerRef) -> None:
        args, kwargs = ["\x00", "\ud800", 2**60 + 1, [], {}, 0.1, None, True], {"größe": ["😀"]}
        text, _, _ = payload.encode(args, kwargs)
        add(store, payload=text)
        assert payload.decode(claim_one(store, worker).payload) == (args, kwargs)

    def test_a_payload_outlives_every_settlement(self, store: Store, worker: WorkerRef) -> None:
        text = TEXTS["quotes and backslashes"]
        id = add(store, payload=text)
        for outcome_of in (Outcome.handed_back, lambda claim: Outcome.succeeded(claim, "null", 1.0)):
            settle_one(store, worker, outcome_of(claim_one(store, worker)))
            assert record(store, id).payload == text
