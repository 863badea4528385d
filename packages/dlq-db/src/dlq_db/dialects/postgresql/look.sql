-- look: fail what has waited for too long, make ready what is due, and say what a runner has to know.
--
-- arguments  backend, runner, most (of either kind), now (or null); expires_after and due_after (null for from the
--            head), whole, queues and marks (see waiting.sql)
-- reply      one row: how many jobs expired, how many were promoted, the queues that have a ready job and are not
--            paused, those that are paused; the instructions of the runner's workers as three arrays of one length
--            (worker, order, number), its cancellations as four (worker, job, token, reason); for the marks: the first
--            ready jobs, in paused queues too, as three arrays (queue, priority, seq), walked (index entries that were
--            read), position (the last seq given), now; and when there were as many as the limit, the last due_at that
--            was promoted, and the last expires_at that was failed; and whether any job waits for a slot
--
-- With marks, no search begins at the head of its index: see marks.py.
--
-- All parts see the tables as they were at the start. So those that count ready jobs leave out the ones that expire
-- here, and add those that are promoted here.
WITH RECURSIVE moment AS MATERIALIZED (
    SELECT coalesce(%(now)s::timestamptz, statement_timestamp()) AS now
),
unwalked AS MATERIALIZED (
    SELECT
        pg_stat_get_xact_tuples_returned('dlq_live_ready'::regclass)
        + pg_stat_get_xact_tuples_returned('dlq_live_due'::regclass)
        + pg_stat_get_xact_tuples_returned('dlq_live_expiry'::regclass) AS entries
),
over AS MATERIALIZED (
    SELECT id, expires_at
    FROM dlq_live
    WHERE backend = %(backend)s AND expires_at <= (SELECT now FROM moment) AND state < 4
        AND expires_at >= coalesce(%(expires_after)s::timestamptz, '-infinity')
        AND (SELECT entries FROM unwalked) >= 0
    ORDER BY expires_at
    LIMIT %(most)s
    FOR UPDATE SKIP LOCKED
),
gone AS (
    DELETE FROM dlq_live l
    USING over
    WHERE l.id = over.id
    RETURNING l.id, l.token, l.settled, l.settled_by, l.attempts, l.interruptions, l.expires_at
),
expired AS (
    UPDATE dlq_job j
    SET state = 6, finished_at = moment.now, token = g.token, settled = g.settled, settled_by = g.settled_by,
        attempts = g.attempts, interruptions = g.interruptions
    FROM gone g, moment
    WHERE j.id = g.id
    RETURNING j.queue, j.task
),
tally AS (
    INSERT INTO dlq_count (backend, minute, queue, task, failed)
    SELECT %(backend)s, date_trunc('minute', moment.now), queue, task, count(*)
    FROM expired, moment
    GROUP BY moment.now, queue, task
),
attempt AS (
    INSERT INTO dlq_attempt (job_id, worker, started_at, finished_at, counted, exception, traceback)
    SELECT
        id, '', moment.now, moment.now, 0, 'dlq.errors.Expired',
        'The job had not started at '
        || regexp_replace(to_char(expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'), '\.0+$', '')
        || E'+00:00.\n'
    FROM gone, moment
),
due AS MATERIALIZED (
    SELECT id, due_at, seq
    FROM dlq_live
    WHERE state = 1 AND backend = %(backend)s AND due_at <= (SELECT now FROM moment)
        AND due_at >= coalesce(%(due_after)s::timestamptz, '-infinity')
        AND id <> ALL (ARRAY(SELECT id FROM over))
    ORDER BY due_at, seq
    LIMIT %(most)s
    FOR UPDATE SKIP LOCKED
),
numbered AS MATERIALIZED (
    SELECT id, nextval('dlq_seq') AS seq FROM (SELECT id FROM due ORDER BY due_at, seq) ordered
),
promoted AS (
    UPDATE dlq_live l
    SET state = CASE WHEN l.line IS NULL THEN 3 ELSE 2 END, waits = CASE WHEN l.line IS NOT NULL THEN 2 END,
        due_at = NULL, seq = n.seq
    FROM numbered n
    WHERE l.id = n.id
    RETURNING l.queue, l.line
),
paused AS MATERIALIZED (
    SELECT queue
    FROM dlq_pause, moment
    WHERE backend = %(backend)s AND (until IS NULL OR until > moment.now)
),
step (queue, priority, seq) AS (
    (
        SELECT queue, priority, seq
        FROM dlq_live
        WHERE %(whole)s AND state = 3 AND backend = %(backend)s AND id <> ALL (ARRAY(SELECT id FROM over))
        ORDER BY queue, priority DESC, seq
        LIMIT 1
    )
    UNION ALL
    SELECT following.*
    FROM step
    CROSS JOIN LATERAL (
        SELECT l.queue, l.priority, l.seq
        FROM dlq_live l
        WHERE l.state = 3 AND l.backend = %(backend)s AND l.queue > step.queue
            AND l.id <> ALL (ARRAY(SELECT id FROM over))
        ORDER BY l.queue, l.priority DESC, l.seq
        LIMIT 1
    ) following
),
first AS MATERIALIZED (
    SELECT queue, priority, seq FROM step
    UNION ALL
    SELECT q.name, f.priority, f.seq
    FROM unnest(%(queues)s::text[], %(marks)s::text[]) AS q (name, marks)
    CROSS JOIN LATERAL (
        SELECT b.priority, b.seq
        FROM unnest(q.marks::bigint[]) WITH ORDINALITY AS m (seq, place)
        CROSS JOIN LATERAL (
            SELECT l.priority, l.seq
            FROM dlq_live l
            WHERE l.state = 3 AND l.backend = %(backend)s AND l.queue = q.name
                AND l.priority = (101 - m.place)::smallint AND l.seq > m.seq
                AND l.id <> ALL (ARRAY(SELECT id FROM over))
            ORDER BY l.seq
            LIMIT 1
        ) b
        LIMIT 1
    ) f
),
ready AS (
    SELECT queue FROM first
    UNION SELECT queue FROM promoted WHERE line IS NULL
    EXCEPT SELECT queue FROM paused
),
walked AS MATERIALIZED (
    SELECT
        pg_stat_get_xact_tuples_returned('dlq_live_ready'::regclass)
        + pg_stat_get_xact_tuples_returned('dlq_live_due'::regclass)
        + pg_stat_get_xact_tuples_returned('dlq_live_expiry'::regclass) - entries AS entries
    FROM unwalked
    WHERE (SELECT count(*) FROM over) + (SELECT count(*) FROM due) + (SELECT count(*) FROM first) >= 0
),
seat AS MATERIALIZED (
    SELECT w.name, w."order", w.instructed, w.heeded
    FROM dlq_worker w JOIN dlq_runner r ON r.id = w.runner_id
    WHERE r.backend = %(backend)s AND r.name = %(runner)s
),
instruction AS (
    SELECT
        array_agg(name ORDER BY name) AS workers, array_agg("order" ORDER BY name) AS orders,
        array_agg(instructed ORDER BY name) AS numbers
    FROM seat
    WHERE heeded < instructed
),
cancellation AS (
    SELECT
        array_agg(worker ORDER BY id) AS workers, array_agg(id ORDER BY id) AS ids,
        array_agg(token ORDER BY id) AS tokens, array_agg(cancel ORDER BY id) AS reasons
    FROM dlq_live
    WHERE cancel IS NOT NULL AND backend = %(backend)s AND worker IN (SELECT name FROM seat)
)
SELECT
    (SELECT count(*) FROM gone), (SELECT count(*) FROM promoted),
    ARRAY(SELECT queue FROM ready), ARRAY(SELECT queue FROM paused),
    i.workers, i.orders, i.numbers,
    c.workers, c.ids, c.tokens, c.reasons,
    ARRAY(SELECT queue FROM first), ARRAY(SELECT priority FROM first), ARRAY(SELECT seq FROM first),
    (SELECT entries FROM walked), coalesce(pg_sequence_last_value('dlq_seq'::regclass), 0), (SELECT now FROM moment),
    (SELECT CASE WHEN count(*) = %(most)s THEN max(due_at) END FROM due),
    (SELECT CASE WHEN count(*) = %(most)s THEN max(expires_at) END FROM over),
    EXISTS (SELECT FROM dlq_live WHERE waits = 2) OR EXISTS (SELECT FROM promoted WHERE line IS NOT NULL)
FROM instruction i, cancellation c
