-- enqueue_unique: as enqueue, for jobs some of which have a mark that only one live job of a backend may have.
--
-- arguments  those of enqueue.sql, and marks, uniques (both null for jobs of which there may be any number)
-- reply      one row: the time at which they were stored, the ids of those that were not because somebody has their mark,
--            and whether some were left out because they are stored already
--
-- A mark that a transaction has taken which is still open is waited for. They are taken in one order, so that nobody waits in
-- a circle; places in the queue are given before, in the order of the jobs.
--
-- Whether a job is stored already the statement sees as it was at its start. If it was stored, has run and has finished since,
-- its mark was free: then there is a live row without a job row of this statement, and it divides by zero. Nothing has
-- happened then, and it is run again.
WITH moment AS MATERIALIZED (
    SELECT coalesce(%(now)s::timestamptz, statement_timestamp()) AS now
),
incoming AS MATERIALIZED (
    SELECT i.*, moment.now + make_interval(secs => expires_after) AS expires_at
    FROM moment, unnest(
        %(ids)s::uuid[], %(tasks)s::text[], %(queues)s::text[], %(priorities)s::smallint[], %(payloads)s::text[],
        %(run_afters)s::timestamptz[], %(max_attempts)s::smallint[], %(max_interruptions)s::smallint[],
        %(overrides)s::text[], %(expires_afters)s::float8[], %(metadata)s::text[],
        %(limits)s::text[], %(lines)s::text[], %(marks)s::text[], %(uniques)s::text[]
    ) WITH ORDINALITY
    AS i (
        id, task, queue, priority, payload, run_after, max_attempts, max_interruptions, overrides, expires_after,
        metadata, limits, line, mark, "unique", place
    )
),
placed AS MATERIALIZED (
    SELECT i.*, nextval('dlq_seq') AS seq
    FROM (
        SELECT * FROM incoming
        WHERE NOT EXISTS (SELECT FROM dlq_job j WHERE j.id = incoming.id)
        ORDER BY place
    ) i
),
live AS (
    INSERT INTO dlq_live (
        id, backend, queue, priority, state, waits, seq, due_at, expires_at, line, mark, token, settled, attempts,
        interruptions
    )
    SELECT
        p.id, %(backend)s, p.queue, p.priority,
        CASE WHEN p.run_after > moment.now THEN 1 WHEN p.line IS NULL THEN 3 ELSE 2 END,
        CASE WHEN p.run_after > moment.now OR p.line IS NULL THEN NULL ELSE 2 END, p.seq,
        CASE WHEN p.run_after > moment.now THEN p.run_after END, p.expires_at, p.line, p.mark, 0, 0, 0, 0
    FROM (SELECT * FROM placed ORDER BY mark, place) p, moment
    ON CONFLICT DO NOTHING
    RETURNING id
),
stored AS (
    INSERT INTO dlq_job (
        id, backend, task, queue, priority, payload, run_after, max_attempts, max_interruptions, overrides,
        expires_at, metadata, limits, "unique", enqueued_at, attempts, interruptions
    )
    SELECT
        p.id, %(backend)s, p.task, p.queue, p.priority, p.payload, p.run_after, p.max_attempts, p.max_interruptions,
        p.overrides, p.expires_at, p.metadata, p.limits, p."unique", moment.now, 0, 0
    FROM placed p JOIN live USING (id), moment
    ON CONFLICT (id) DO NOTHING
    RETURNING id
),
tally AS (
    INSERT INTO dlq_count (backend, minute, queue, task, enqueued)
    SELECT %(backend)s, date_trunc('minute', moment.now), p.queue, p.task, count(*)
    FROM placed p JOIN stored USING (id) CROSS JOIN moment
    GROUP BY moment.now, p.queue, p.task
)
SELECT
    moment.now, ARRAY(SELECT id FROM placed WHERE id NOT IN (SELECT id FROM live)),
    (SELECT count(*) FROM placed) < (SELECT count(*) FROM incoming),
    1 / (SELECT ((SELECT count(*) FROM live) = (SELECT count(*) FROM stored))::int)
FROM moment
