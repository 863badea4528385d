-- enqueue: store new jobs in the order given; one whose id is stored already is left as it is.
--
-- arguments  backend, now (or null), and the jobs as arrays of one length: ids, tasks, queues, priorities, payloads,
--            run_afters, max_attempts, max_interruptions, overrides, expires_afters, metadata, limits, lines
-- reply      one row: the time at which they were stored
WITH moment AS MATERIALIZED (
    SELECT coalesce(%(now)s::timestamptz, statement_timestamp()) AS now
),
incoming AS MATERIALIZED (
    SELECT i.*, moment.now + make_interval(secs => expires_after) AS expires_at
    FROM moment, unnest(
        %(ids)s::uuid[], %(tasks)s::text[], %(queues)s::text[], %(priorities)s::smallint[], %(payloads)s::text[],
        %(run_afters)s::timestamptz[], %(max_attempts)s::smallint[], %(max_interruptions)s::smallint[],
        %(overrides)s::text[], %(expires_afters)s::float8[], %(metadata)s::text[],
        %(limits)s::text[], %(lines)s::text[]
    ) WITH ORDINALITY
    AS i (
        id, task, queue, priority, payload, run_after, max_attempts, max_interruptions, overrides, expires_after,
        metadata, limits, line, place
    )
),
stored AS (
    INSERT INTO dlq_job (
        id, backend, task, queue, priority, payload, run_after, max_attempts, max_interruptions, overrides,
        expires_at, metadata, limits, enqueued_at, attempts, interruptions
    )
    SELECT
        id, %(backend)s, task, queue, priority, payload, run_after, max_attempts, max_interruptions, overrides,
        expires_at, metadata, limits, moment.now, 0, 0
    FROM incoming, moment
    ON CONFLICT (id) DO NOTHING
    RETURNING id, queue, task, enqueued_at
),
live AS (
    INSERT INTO dlq_live (
        id, backend, queue, priority, state, waits, seq, due_at, expires_at, line, token, settled, attempts,
        interruptions
    )
    SELECT
        i.id, %(backend)s, i.queue, i.priority,
        CASE WHEN i.run_after > moment.now THEN 1 WHEN i.line IS NULL THEN 3 ELSE 2 END,
        CASE WHEN i.run_after > moment.now OR i.line IS NULL THEN NULL ELSE 2 END, nextval('dlq_seq'),
        CASE WHEN i.run_after > moment.now THEN i.run_after END, i.expires_at, i.line, 0, 0, 0, 0
    FROM (SELECT incoming.* FROM incoming JOIN stored USING (id) ORDER BY place) i, moment
),
tally AS (
    INSERT INTO dlq_count (backend, minute, queue, task, enqueued)
    SELECT %(backend)s, date_trunc('minute', enqueued_at), queue, task, count(*)
    FROM stored
    GROUP BY enqueued_at, queue, task
)
SELECT now FROM moment
