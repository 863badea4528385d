-- advance: move schedules on, record what became of their due times, and store the jobs of those.
--
-- arguments  backend, now (or null); the advances as arrays of one length: keys, revisions, due_ats, look_ats, counts
--            (of due times that enqueue a job), last_due_ats, last_jobs; their fires as arrays of one length: fire_keys,
--            fire_due_ats, outcomes, fire_jobs (or null), fire_reasons; and the jobs of the fires as for enqueue.sql
-- reply      one row: the time, the keys of the schedules that have moved on, and the ids of the jobs that are stored
--
-- A schedule that another scheduler is at is left to it. The unique due times are the second guard: a fire that
-- conflicts stores no job.
WITH moment AS MATERIALIZED (
    SELECT coalesce(%(now)s::timestamptz, statement_timestamp()) AS now
),
asked AS MATERIALIZED (
    SELECT s.id, s.key, a.due_at, a.look_at, a.fires, a.last_due_at, a.last_job
    FROM unnest(
        %(keys)s::text[], %(revisions)s::bigint[], %(due_ats)s::timestamptz[], %(look_ats)s::timestamptz[],
        %(counts)s::bigint[], %(last_due_ats)s::timestamptz[], %(last_jobs)s::uuid[]
    ) AS a (key, revision, due_at, look_at, fires, last_due_at, last_job)
    JOIN dlq_schedule s ON s.backend = %(backend)s AND s.key = a.key AND s.revision = a.revision
    FOR UPDATE OF s SKIP LOCKED
),
moved AS (
    UPDATE dlq_schedule s
    SET revision = s.revision + 1, due_at = a.due_at, look_at = a.look_at, fires = s.fires + a.fires,
        last_due_at = coalesce(a.last_due_at, s.last_due_at), last_job = coalesce(a.last_job, s.last_job)
    FROM asked a
    WHERE s.id = a.id
    RETURNING s.key
),
fire AS (
    INSERT INTO dlq_fire (backend, key, due_at, at, outcome, job, reason)
    SELECT %(backend)s, f.key, f.due_at, moment.now, f.outcome, f.job, f.reason
    FROM moment, unnest(
        %(fire_keys)s::text[], %(fire_due_ats)s::timestamptz[], %(outcomes)s::text[], %(fire_jobs)s::uuid[],
        %(fire_reasons)s::text[]
    ) AS f (key, due_at, outcome, job, reason)
    JOIN moved ON moved.key = f.key
    ON CONFLICT (backend, key, due_at) DO NOTHING
    RETURNING job
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
    JOIN fire ON fire.job = i.id
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
SELECT now, ARRAY(SELECT key FROM moved), ARRAY(SELECT id FROM stored) FROM moment
