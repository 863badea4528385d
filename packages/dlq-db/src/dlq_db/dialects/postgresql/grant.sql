-- grant: give the free slots of some keys to the first of those that wait for them. To be run in the transaction that has
-- locked their semaphores, as a statement of its own: only so it sees what those did who had the locks before.
--
-- arguments  marks, most (of one key), now (or null)
-- reply      one row: the backends and the queues of the jobs that are ready now, as two arrays of one length; whether
--            others wait whose policy is not to wait, which is for admitting.py to decide
WITH RECURSIVE moment AS MATERIALIZED (
    SELECT coalesce(%(now)s::timestamptz, statement_timestamp()) AS now
),
semaphore AS MATERIALIZED (
    SELECT s.mark, greatest(0, least(%(most)s, s.slots - (
        SELECT count(*)
        FROM dlq_live l
        WHERE l.line IS NOT NULL AND l.state >= 3 AND l.line >= s.mark AND l.line < s.mark || 'g'
    ))) AS free
    FROM dlq_semaphore s
    WHERE s.mark = ANY(%(marks)s::text[])
),
step (mark, free, line) AS (
    SELECT s.mark, s.free, (
        SELECT min(l.line) FROM dlq_live l WHERE l.waits = 2 AND l.line >= s.mark AND l.line < s.mark || 'g'
    )
    FROM semaphore s
    UNION ALL
    SELECT step.mark, step.free, (
        SELECT min(l.line) FROM dlq_live l WHERE l.waits = 2 AND l.line > step.line AND l.line < step.mark || 'g'
    )
    FROM step
    WHERE step.line IS NOT NULL
),
waiting AS MATERIALIZED (
    SELECT step.mark, step.free, w.id, w.priority, w.seq
    FROM step
    CROSS JOIN LATERAL (
        SELECT l.backend, l.queue FROM dlq_live l WHERE l.waits = 2 AND l.line = step.line LIMIT 1
    ) q
    CROSS JOIN LATERAL (
        SELECT l.id, l.priority, l.seq
        FROM dlq_live l
        WHERE l.waits = 2 AND l.line = step.line
        ORDER BY l.priority DESC, l.seq
        LIMIT step.free
        FOR UPDATE SKIP LOCKED
    ) w
    WHERE right(step.line, 1) = 'b' AND NOT EXISTS (
        SELECT FROM dlq_pause p, moment
        WHERE p.backend = q.backend AND p.queue = q.queue AND (p.until IS NULL OR p.until > moment.now)
    )
),
chosen AS MATERIALIZED (
    SELECT id, nextval('dlq_seq') AS seq
    FROM (
        SELECT id
        FROM (
            SELECT id, free, priority, seq, row_number() OVER (PARTITION BY mark ORDER BY priority DESC, seq) AS place
            FROM waiting
        ) placed
        WHERE place <= free
        ORDER BY priority DESC, seq
    ) ordered
),
ready AS (
    UPDATE dlq_live l
    SET state = 3, waits = NULL, seq = c.seq
    FROM chosen c
    WHERE l.id = c.id
    RETURNING l.backend, l.queue
)
SELECT
    ARRAY(SELECT backend FROM ready), ARRAY(SELECT queue FROM ready),
    EXISTS (SELECT FROM step WHERE right(line, 1) <> 'b')
