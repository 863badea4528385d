-- exchange: settle what a worker finished and claim what it can run, in one statement.
--
-- arguments  backend, worker, incarnation, queues (text[], in strict order), marks (text[], for each queue null, or the
--            marks of its priorities from 100 down as the text of a bigint[]), most (claims at most), now (or null),
--            and the outcomes as arrays of one length: ids, tokens, states, counted, results, exceptions,
--            tracebacks, delays, seconds, reasons, keep_fors, versions
-- reply      at least one row: registered, stale (uuid[]), already (uuid[]), paused (text[]), walked (the entries of
--            the index of ready jobs that were read), position (the last seq given), then the columns of a claim, which
--            are null when there is none; claims in the order in which they are to be started
--
-- A queue is searched from the head of the index, or, with marks, each priority from its mark: see marks.py. To enter
-- the index by equality on the priority is what makes a mark a place in it. How many entries a search walked over is read
-- from this session's own statistics, before and after.
--
-- The worker's row is share-locked: reconcile() updates it, so an exchange that is still under way when the worker
-- reconciles is either seen by it whole, or finds its incarnation gone and claims nothing.
--
-- Locks are taken in one order: the worker's row, the rows of the outcomes by id, those of the claims, for which it never
-- waits. The two counts that are not less than zero see to that.
--
-- Whether a job is to be cancelled decides which of two writes its outcome becomes, and the statement sees that as it
-- was at its start. When that changes while it waits for the row, the outcome fits neither. So if an outcome that
-- was to be written at the start was not, the statement divides by zero: nothing has happened then, and it is run again.
--
-- Whatever the size of the tables, rows are looked up by key. "state + 0" keeps the planner off the index of running jobs,
-- which is short but full of dead entries; the settings of a dedicated connection keep it from reading whole tables.
WITH moment AS MATERIALIZED (
    SELECT coalesce(%(now)s::timestamptz, statement_timestamp()) AS now
),
seat AS MATERIALIZED (
    SELECT 1
    FROM dlq_worker
    WHERE backend = %(backend)s AND name = %(worker)s AND incarnation = %(incarnation)s
    FOR SHARE
),
outcome AS MATERIALIZED (
    SELECT *
    FROM unnest(
        %(ids)s::uuid[], %(tokens)s::bigint[], %(states)s::smallint[], %(counted)s::smallint[], %(results)s::text[],
        %(exceptions)s::text[], %(tracebacks)s::text[], %(delays)s::float8[], %(seconds)s::float8[],
        %(reasons)s::text[], %(keep_fors)s::float8[], %(versions)s::smallint[]
    ) AS o (id, token, state, counted, result, exception, traceback, delay, seconds, reason, keep_for, version)
    WHERE (SELECT count(*) FROM seat) >= 0
),
finished AS (
    DELETE FROM dlq_live l
    USING outcome o
    WHERE l.id = o.id AND l.token = o.token AND l.state + 0 = 4 AND l.backend = %(backend)s
        -- Whoever asked to cancel a job does not want it to wait for another attempt.
        AND (o.state > 4 OR l.cancel IS NOT NULL)
    RETURNING
        l.id, l.worker, l.token, l.claimed_at, o.counted, o.result, o.seconds, o.keep_for,
        CASE WHEN o.state > 4 THEN o.state ELSE 7 END AS state, coalesce(l.cancel, o.reason) AS reason,
        l.attempts + (o.counted = 1)::int AS attempts,
        l.interruptions + (o.counted = 2)::int AS interruptions
),
recorded AS (
    UPDATE dlq_job j
    SET state = f.state, result = f.result, reason = CASE WHEN f.state = 7 THEN f.reason END,
        worker = f.worker, token = f.token,
        settled_by = nullif(%(worker)s, f.worker),
        attempts = f.attempts, interruptions = f.interruptions,
        started_at = CASE WHEN f.counted = 2 THEN f.claimed_at ELSE moment.now - make_interval(secs => f.seconds) END,
        finished_at = moment.now, keep_until = moment.now + make_interval(secs => f.keep_for)
    FROM finished f, moment
    WHERE j.id = f.id
    RETURNING j.queue, j.task, j.finished_at, f.state, f.counted, f.seconds
),
returned AS (
    UPDATE dlq_live l
    SET state = CASE WHEN o.state = 3 AND o.counted = 1 AND l.line IS NOT NULL THEN 2 ELSE o.state END,
        -- A retry needs a slot anew; whoever keeps the place keeps the slot too.
        waits = CASE WHEN o.state = 2 THEN 1 WHEN o.state = 3 AND o.counted = 1 AND l.line IS NOT NULL THEN 2 END,
        settled = o.token, settled_by = %(worker)s,
        attempts = l.attempts + (o.counted = 1)::int,
        interruptions = l.interruptions + (o.counted = 2)::int,
        due_at = CASE WHEN o.state = 1 THEN moment.now + make_interval(secs => o.delay) END, version = o.version,
        -- A retry goes behind those that wait; a hand-back and a rescue keep their place.
        seq = CASE WHEN o.state = 3 AND o.counted = 1 THEN nextval('dlq_seq') ELSE l.seq END
    FROM outcome o, moment
    WHERE l.id = o.id AND l.token = o.token AND l.state + 0 = 4 AND l.backend = %(backend)s
        AND o.state < 4 AND l.cancel IS NULL
    RETURNING l.id, l.worker, l.claimed_at, o.counted, o.seconds, moment.now AS at
),
tally AS (
    INSERT INTO dlq_count (
        backend, minute, queue, task, succeeded, failed, cancelled, retried, interrupted, seconds
    )
    SELECT
        %(backend)s, date_trunc('minute', at), queue, task,
        count(*) FILTER (WHERE state = 5), count(*) FILTER (WHERE state = 6), count(*) FILTER (WHERE state = 7),
        count(*) FILTER (WHERE state < 4 AND counted = 1), count(*) FILTER (WHERE counted = 2), sum(seconds)
    FROM (
        SELECT queue, task, finished_at, state, counted, seconds FROM recorded
        UNION ALL
        SELECT j.queue, j.task, r.at, 1, r.counted, r.seconds
        FROM returned r JOIN dlq_job j ON j.id = r.id
        WHERE r.counted > 0
    ) s (queue, task, at, state, counted, seconds)
    GROUP BY at, queue, task
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
            WHERE j.id = o.id AND coalesce(j.settled, j.token) = o.token
                AND coalesce(j.settled_by, j.worker) = %(worker)s AND j.backend = %(backend)s
        ) AS already,
        EXISTS (
            SELECT FROM dlq_live l
            WHERE l.id = o.id AND l.token = o.token AND l.state + 0 = 4 AND l.backend = %(backend)s
        ) AS overtaken
    FROM outcome o
    WHERE o.id NOT IN (SELECT id FROM settled)
),
paused AS MATERIALIZED (
    SELECT queue
    FROM dlq_pause, moment
    WHERE backend = %(backend)s AND (until IS NULL OR until > moment.now)
),
unwalked AS MATERIALIZED (
    SELECT pg_stat_get_xact_tuples_returned('dlq_live_ready'::regclass) AS entries
),
picked AS MATERIALIZED (
    SELECT r.id, q.place
    FROM unnest(%(queues)s::text[], %(marks)s::text[]) WITH ORDINALITY AS q (name, marks, place)
    CROSS JOIN LATERAL (
        SELECT id
        FROM (
            SELECT l.id
            FROM dlq_live l
            WHERE q.marks IS NULL AND l.state = 3 AND l.backend = %(backend)s AND l.queue = q.name
            ORDER BY l.priority DESC, l.seq
            LIMIT %(most)s
            FOR UPDATE SKIP LOCKED
        ) whole
        UNION ALL
        SELECT id
        FROM (
            SELECT b.id
            FROM unnest(q.marks::bigint[]) WITH ORDINALITY AS m (seq, place)
            CROSS JOIN LATERAL (
                SELECT l.id
                FROM dlq_live l
                WHERE l.state = 3 AND l.backend = %(backend)s AND l.queue = q.name
                    AND l.priority = (101 - m.place)::smallint AND l.seq > m.seq
                ORDER BY l.seq
                LIMIT %(most)s
                FOR UPDATE SKIP LOCKED
            ) b
            LIMIT %(most)s
        ) marked
    ) r
    WHERE EXISTS (SELECT FROM seat) AND (SELECT count(*) FROM settled) >= 0
        AND (SELECT entries FROM unwalked) >= 0
        -- A list, and no join, which might lose the order of the queues.
        AND q.name <> ALL (ARRAY(SELECT queue FROM paused))
    LIMIT %(most)s
),
walked AS MATERIALIZED (
    SELECT pg_stat_get_xact_tuples_returned('dlq_live_ready'::regclass) - entries AS entries
    FROM unwalked
    WHERE (SELECT count(*) FROM picked) >= 0
),
held AS (
    UPDATE dlq_live l
    SET state = 4, token = l.token + 1, worker = %(worker)s, claimed_at = moment.now,
        -- One that keeps others out only until it is started.
        mark = CASE WHEN l.mark >= 't' OR l.mark < 's' THEN l.mark END
    FROM picked, moment
    WHERE l.id = picked.id
    RETURNING l.id, l.token, l.attempts, l.interruptions, l.priority, l.seq, l.claimed_at, l.line, picked.place
)
SELECT
    EXISTS (SELECT FROM seat),
    (SELECT array_agg(id) FROM unsettled WHERE NOT already),
    (SELECT array_agg(id) FROM unsettled WHERE already),
    ARRAY(SELECT queue FROM paused), (SELECT entries FROM walked), coalesce(pg_sequence_last_value('dlq_seq'::regclass), 0),
    1 / (SELECT 1 - coalesce(bool_or(overtaken), false)::int FROM unsettled),
    h.id, h.token, h.attempts, h.interruptions, h.claimed_at,
    j.task, j.queue, j.payload, j.priority, j.run_after, j.enqueued_at, j.max_attempts, j.max_interruptions, j.overrides,
    j.expires_at, j.metadata, h.line, h.seq
FROM (VALUES (1)) AS always (one)
LEFT JOIN (held h JOIN dlq_job j ON j.id = h.id) ON true
ORDER BY h.place, h.priority DESC, h.seq
