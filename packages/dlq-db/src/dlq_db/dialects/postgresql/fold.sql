-- fold: put one row in the place of many that were counted in minutes that are over, and forget old minutes.
--
-- arguments  backend, now, most (rows of either kind), kept (seconds for which minutes are kept)
-- reply      one row: how many rows were folded
--
-- Rows are found by lists of keys, and not by joins: for how many rows there are the planner knows from a moment when
-- there were none. Totals are found through their queues; those of other tasks in these are merely written anew.
--
-- Of several that fold at once each takes other rows, and waits for none: rows of the same minute, and totals, add up.
WITH fresh AS MATERIALIZED (
    SELECT id
    FROM dlq_count
    WHERE backend = %(backend)s AND minute < date_trunc('minute', %(now)s::timestamptz)
    ORDER BY id
    LIMIT %(most)s
    FOR UPDATE SKIP LOCKED
),
counted AS MATERIALIZED (
    DELETE FROM dlq_count WHERE id = ANY (ARRAY(SELECT id FROM fresh)) RETURNING *
),
former AS MATERIALIZED (
    SELECT id
    FROM dlq_tally
    WHERE backend = %(backend)s AND minute IS NULL AND queue = ANY (ARRAY(SELECT DISTINCT queue FROM counted))
    FOR UPDATE SKIP LOCKED
),
merged AS MATERIALIZED (
    DELETE FROM dlq_tally WHERE id = ANY (ARRAY(SELECT id FROM former)) RETURNING *
),
minutes AS (
    INSERT INTO dlq_tally (
        backend, minute, queue, task, enqueued, duplicates, succeeded, failed, cancelled, retried, interrupted, seconds
    )
    SELECT
        %(backend)s, minute, queue, task, sum(enqueued), sum(duplicates), sum(succeeded), sum(failed), sum(cancelled),
        sum(retried), sum(interrupted), sum(seconds)
    FROM counted
    GROUP BY minute, queue, task
),
totals AS (
    INSERT INTO dlq_tally (
        backend, minute, queue, task, enqueued, duplicates, succeeded, failed, cancelled, retried, interrupted, seconds
    )
    SELECT
        %(backend)s, NULL, queue, task, sum(enqueued), sum(duplicates), sum(succeeded), sum(failed), sum(cancelled),
        sum(retried), sum(interrupted), sum(seconds)
    FROM (
        SELECT queue, task, enqueued, duplicates, succeeded, failed, cancelled, retried, interrupted, seconds FROM counted
        UNION ALL
        SELECT queue, task, enqueued, duplicates, succeeded, failed, cancelled, retried, interrupted, seconds FROM merged
    ) every
    GROUP BY queue, task
),
old AS MATERIALIZED (
    SELECT id
    FROM dlq_tally
    WHERE backend = %(backend)s AND minute < %(now)s::timestamptz - make_interval(secs => %(kept)s::float8)
    ORDER BY minute
    LIMIT %(most)s
    FOR UPDATE SKIP LOCKED
),
forgotten AS (
    DELETE FROM dlq_tally WHERE id = ANY (ARRAY(SELECT id FROM old))
)
SELECT count(*) FROM counted
