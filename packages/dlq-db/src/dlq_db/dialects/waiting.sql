-- waiting: the queues that have a ready job, by stepping through the index from name to name.
--
-- arguments  backend, twice
-- reply      a row for each queue: its name
WITH RECURSIVE step (queue) AS (
    SELECT min(queue) FROM dlq_live WHERE state = 3 AND backend = %s
    UNION ALL
    SELECT (SELECT min(queue) FROM dlq_live WHERE state = 3 AND backend = %s AND queue > step.queue)
    FROM step
    WHERE step.queue IS NOT NULL
)
SELECT queue FROM step WHERE queue IS NOT NULL
