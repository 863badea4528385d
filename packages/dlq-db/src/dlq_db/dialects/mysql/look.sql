-- look: what there is to do, and what a runner has to know.
--
-- arguments  backend, runner, now (or null)
-- reply      rows of kind, name, job, number and text:
--            clock, with the time as text; over, due and waits, when a job has waited for too long, is due, or waits
--            for a slot;
--            ready and paused, for each queue that has a ready job or is paused, with its name;
--            told, for each instruction: worker, -, number, order;
--            cancel, for each cancellation: worker, job, token, reason
--
-- Queues are found by stepping through the index from name to name ("Using index for group-by"),
-- which the optimizer does only when all columns of the index up to that one are in the GROUP BY.
SELECT 'clock' AS kind, NULL AS name, NULL AS job, NULL AS number,
    CAST(COALESCE(%(now)s, UTC_TIMESTAMP(6)) AS char) AS text
UNION ALL
SELECT 'over', NULL, NULL, NULL, NULL FROM (
    SELECT 1 FROM dlq_live FORCE INDEX (dlq_live_expiry)
    WHERE backend = %(backend)s AND expires_at <= CAST(COALESCE(%(now)s, UTC_TIMESTAMP(6)) AS datetime(6)) AND state < 4
    LIMIT 1
) over_one
UNION ALL
SELECT 'due', NULL, NULL, NULL, NULL FROM (
    SELECT 1 FROM dlq_live FORCE INDEX (dlq_live_due)
    WHERE backend = %(backend)s AND due_at <= CAST(COALESCE(%(now)s, UTC_TIMESTAMP(6)) AS datetime(6)) AND state = 1
    LIMIT 1
) due_one
UNION ALL
SELECT 'waits', NULL, NULL, NULL, NULL FROM (
    SELECT 1 FROM dlq_live FORCE INDEX (dlq_live_line) WHERE waits = 2 LIMIT 1
) waits_one
UNION ALL
SELECT 'ready', queue, NULL, NULL, NULL FROM (
    SELECT queue FROM dlq_live FORCE INDEX (dlq_live_ready)
    WHERE backend = %(backend)s AND state = 3
    GROUP BY backend, state, queue
) ready
UNION ALL
SELECT 'paused', queue, NULL, NULL, NULL FROM dlq_pause
WHERE backend = %(backend)s AND (until IS NULL OR until > CAST(COALESCE(%(now)s, UTC_TIMESTAMP(6)) AS datetime(6)))
UNION ALL
SELECT 'told', w.name, NULL, w.instructed, w.`order`
FROM dlq_runner r JOIN dlq_worker w ON w.runner_id = r.id
WHERE r.backend = %(backend)s AND r.name = %(runner)s AND w.heeded < w.instructed
UNION ALL
SELECT 'cancel', l.worker, l.id, l.token, l.cancel
FROM dlq_runner r
    STRAIGHT_JOIN dlq_worker w ON w.runner_id = r.id
    STRAIGHT_JOIN dlq_live l FORCE INDEX (dlq_live_running) ON l.worker = w.name AND l.state = 4
WHERE r.backend = %(backend)s AND r.name = %(runner)s AND l.backend = %(backend)s AND l.cancel IS NOT NULL
