-- look: fail what has waited for too long, make ready what is due, and say what a runner has to know.
--
-- arguments  backend, runner, most (of either kind), now (or null)
-- reply      one row: how many jobs expired, how many were promoted, the queues that have a ready job and are not
--            paused, those that are paused; the instructions of the runner's workers as three arrays of one length
--            (worker, order, number), its cancellations as four (worker, job, token, reason)
--
-- All parts see the tables as they were at the start. So those that count ready jobs leave out the ones that expire
-- here, and add those that are promoted here.
WITH RECURSIVE moment AS MATERIALIZED (
    SELECT coalesce(%(now)s::timestamptz, statement_timestamp()) AS now
),
over AS MATERIALIZED (
    SELECT id
    FROM dlq_live
    WHERE backend = %(backend)s AND expires_at <= (SELECT now FROM moment) AND state < 4
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
    SET state = 3, due_at = NULL, seq = n.seq
    FROM numbered n
    WHERE l.id = n.id
    RETURNING l.queue
),
paused AS MATERIALIZED (
    SELECT queue
    FROM dlq_pause, moment
    WHERE backend = %(backend)s AND (until IS NULL OR until > moment.now)
),
step (queue) AS (
    SELECT min(queue) FROM dlq_live WHERE state = 3 AND backend = %(backend)s AND id <> ALL (ARRAY(SELECT id FROM over))
    UNION ALL
    SELECT (
        SELECT min(queue)
        FROM dlq_live
        WHERE state = 3 AND backend = %(backend)s AND queue > step.queue AND id <> ALL (ARRAY(SELECT id FROM over))
    )
    FROM step
    WHERE step.queue IS NOT NULL
),
ready AS (
    SELECT queue FROM step WHERE queue IS NOT NULL
    UNION SELECT queue FROM promoted
    EXCEPT SELECT queue FROM paused
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
    c.workers, c.ids, c.tokens, c.reasons
FROM instruction i, cancellation c
