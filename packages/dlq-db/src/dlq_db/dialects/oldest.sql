-- oldest: the job that became ready first, of each queue and priority that has a ready job. It steps through the index of
-- ready jobs from one pair to the next: three look-ups for each, however long the queues are.
--
-- arguments  backend, five times
-- reply      a row for each pair: the id of its job
WITH RECURSIVE step (queue) AS (
    SELECT min(queue) FROM dlq_live WHERE state = 3 AND backend = %s
    UNION ALL
    SELECT (SELECT min(queue) FROM dlq_live WHERE state = 3 AND backend = %s AND queue > step.queue)
    FROM step
    WHERE step.queue IS NOT NULL
),
line (queue, priority) AS (
    SELECT queue, (SELECT max(priority) FROM dlq_live WHERE state = 3 AND backend = %s AND queue = step.queue)
    FROM step
    WHERE queue IS NOT NULL
    UNION ALL
    SELECT queue, (
        SELECT max(priority)
        FROM dlq_live
        WHERE state = 3 AND backend = %s AND queue = line.queue AND priority < line.priority
    )
    FROM line
    WHERE priority IS NOT NULL
)
SELECT (
    SELECT id
    FROM dlq_live
    WHERE state = 3 AND backend = %s AND queue = line.queue AND priority = line.priority
    ORDER BY seq
    LIMIT 1
)
FROM line
WHERE priority IS NOT NULL
