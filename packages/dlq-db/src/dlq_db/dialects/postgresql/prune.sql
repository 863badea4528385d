-- prune: delete finished jobs that are kept no longer, and all that belongs to them.
--
-- arguments  backend, state, task (null for any), most, now (or null), older_than (seconds; null: only those that have a
--            keep_until of their own), kept_after and finished_after (null for from the head; see marks.py)
-- reply      one row: how many, and the last keep_until and the last finished_at among them
--
-- Jobs that somebody else is at are left to him.
WITH moment AS MATERIALIZED (
    SELECT coalesce(%(now)s::timestamptz, statement_timestamp()) AS now
),
over AS MATERIALIZED (
    SELECT id, keep_until
    FROM dlq_job
    WHERE backend = %(backend)s AND state = %(state)s AND keep_until <= (SELECT now FROM moment)
        AND keep_until >= coalesce(%(kept_after)s::timestamptz, '-infinity')
        AND task = coalesce(%(task)s::text, task)
    ORDER BY keep_until
    LIMIT %(most)s
    FOR UPDATE SKIP LOCKED
),
old AS MATERIALIZED (
    SELECT id, finished_at
    FROM dlq_job
    WHERE backend = %(backend)s AND state = %(state)s AND keep_until IS NULL
        AND finished_at <= (SELECT now - make_interval(secs => %(older_than)s::float8) FROM moment)
        AND finished_at >= coalesce(%(finished_after)s::timestamptz, '-infinity')
        AND task = coalesce(%(task)s::text, task)
    ORDER BY finished_at
    LIMIT %(most)s - (SELECT count(*) FROM over)
    FOR UPDATE SKIP LOCKED
),
doomed AS MATERIALIZED (
    SELECT id FROM over UNION ALL SELECT id FROM old
),
notes AS (
    DELETE FROM dlq_note n USING doomed d WHERE n.job_id = d.id
),
attempts AS (
    DELETE FROM dlq_attempt a USING doomed d WHERE a.job_id = d.id
),
gone AS (
    DELETE FROM dlq_job j USING doomed d WHERE j.id = d.id RETURNING j.id
)
SELECT (SELECT count(*) FROM gone), (SELECT max(keep_until) FROM over), (SELECT max(finished_at) FROM old)
