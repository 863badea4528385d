-- exchange: settle what a worker finished and claim what it can run, in one statement.
--
-- arguments  backend, worker, incarnation, queues (text[], in strict order), most (claims at most), now (or null),
--            and the outcomes as arrays of one length: ids, tokens, states, counted, results, exceptions,
--            tracebacks, delays, seconds
-- reply      at least one row: registered, stale (uuid[]), already (uuid[]), then the columns of a claim, which are
--            null when there is none; claims in the order in which they are to be started
--
-- The worker's row is share-locked: reconcile() updates it, so an exchange that is still under way when the worker
-- reconciles is either seen by it whole, or finds its incarnation gone and claims nothing.
WITH moment AS MATERIALIZED (
    SELECT coalesce(%(now)s::timestamptz, statement_timestamp()) AS now
),
outcome AS MATERIALIZED (
    SELECT *
    FROM unnest(
        %(ids)s::uuid[], %(tokens)s::bigint[], %(states)s::smallint[], %(counted)s::smallint[], %(results)s::text[],
        %(exceptions)s::text[], %(tracebacks)s::text[], %(delays)s::float8[], %(seconds)s::float8[]
    ) AS o (id, token, state, counted, result, exception, traceback, delay, seconds)
),
finished AS (
    DELETE FROM dlq_live l
    USING outcome o
    WHERE l.id = o.id AND l.token = o.token AND l.state = 4 AND o.state > 4 AND l.backend = %(backend)s
    RETURNING
        l.id, l.worker, l.token, l.claimed_at, o.state, o.counted, o.result, o.seconds,
        l.attempts + (o.counted = 1)::int AS attempts,
        l.interruptions + (o.counted = 2)::int AS interruptions
),
recorded AS (
    UPDATE dlq_job j
    SET state = f.state, result = f.result, worker = f.worker, token = f.token,
        settled_by = nullif(%(worker)s, f.worker),
        attempts = f.attempts, interruptions = f.interruptions,
        started_at = CASE WHEN f.counted = 2 THEN f.claimed_at ELSE moment.now - make_interval(secs => f.seconds) END,
        finished_at = moment.now
    FROM finished f, moment
    WHERE j.id = f.id
),
returned AS (
    UPDATE dlq_live l
    SET state = o.state, settled = o.token, settled_by = %(worker)s,
        attempts = l.attempts + (o.counted = 1)::int,
        interruptions = l.interruptions + (o.counted = 2)::int,
        due_at = CASE WHEN o.state = 1 THEN moment.now + make_interval(secs => o.delay) END,
        -- A retry goes behind those that wait; a hand-back and a rescue keep their place.
        seq = CASE WHEN o.state = 3 AND o.counted = 1 THEN nextval('dlq_seq') ELSE l.seq END
    FROM outcome o, moment
    WHERE l.id = o.id AND l.token = o.token AND l.state = 4 AND o.state < 4 AND l.backend = %(backend)s
    RETURNING l.id, l.worker, l.claimed_at
),
settled AS MATERIALIZED (
    SELECT id, worker, claimed_at FROM finished UNION ALL SELECT id, worker, claimed_at FROM returned
),
attempt AS (
    INSERT INTO dlq_attempt (job_id, worker, started_at, finished_at, counted, exception, traceback)
    SELECT
        o.id, s.worker,
        CASE WHEN o.counted = 2 THEN s.claimed_at ELSE moment.now - make_interval(secs => o.seconds) END,
        moment.now, o.counted, o.exception, o.traceback
    FROM outcome o JOIN settled s ON s.id = o.id CROSS JOIN moment
    WHERE o.exception IS NOT NULL
),
unsettled AS MATERIALIZED (
    SELECT
        o.id,
        EXISTS (
            SELECT FROM dlq_live l
            WHERE l.id = o.id AND l.settled = o.token AND l.settled_by = %(worker)s AND l.backend = %(backend)s
        ) OR EXISTS (
            SELECT FROM dlq_job j
            WHERE j.id = o.id AND j.token = o.token AND coalesce(j.settled_by, j.worker) = %(worker)s
                AND j.backend = %(backend)s
        ) AS already
    FROM outcome o
    WHERE o.id NOT IN (SELECT id FROM settled)
),
seat AS MATERIALIZED (
    SELECT 1
    FROM dlq_worker
    WHERE backend = %(backend)s AND name = %(worker)s AND incarnation = %(incarnation)s
    FOR SHARE
),
picked AS MATERIALIZED (
    SELECT r.id, q.place
    FROM unnest(%(queues)s::text[]) WITH ORDINALITY AS q (name, place)
    CROSS JOIN LATERAL (
        SELECT l.id
        FROM dlq_live l
        WHERE l.state = 3 AND l.backend = %(backend)s AND l.queue = q.name
        ORDER BY l.priority DESC, l.seq
        LIMIT %(most)s
        FOR UPDATE SKIP LOCKED
    ) r
    WHERE EXISTS (SELECT FROM seat)
    LIMIT %(most)s
),
held AS (
    UPDATE dlq_live l
    SET state = 4, token = l.token + 1, worker = %(worker)s, claimed_at = moment.now
    FROM picked, moment
    WHERE l.id = picked.id
    RETURNING l.id, l.token, l.attempts, l.interruptions, l.priority, l.seq, l.claimed_at, picked.place
)
SELECT
    EXISTS (SELECT FROM seat),
    (SELECT array_agg(id) FROM unsettled WHERE NOT already),
    (SELECT array_agg(id) FROM unsettled WHERE already),
    h.id, h.token, h.attempts, h.interruptions, h.claimed_at,
    j.task, j.queue, j.payload, j.priority, j.run_after, j.enqueued_at, j.max_attempts, j.max_interruptions, j.overrides
FROM (VALUES (1)) AS always (one)
LEFT JOIN (held h JOIN dlq_job j ON j.id = h.id) ON true
ORDER BY h.place, h.priority DESC, h.seq
