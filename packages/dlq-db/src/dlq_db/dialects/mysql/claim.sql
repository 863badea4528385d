-- claim: the first ready jobs of a queue that nobody else is at, locked.
--
-- arguments  backend, queue, backend, queue, now, limit
-- reply      a row for each job, in order; none when the queue is paused
SELECT
    l.id, l.token, l.attempts, l.interruptions, j.task, j.queue, j.payload, j.priority, j.run_after, j.enqueued_at,
    j.max_attempts, j.max_interruptions, j.overrides, j.expires_at, j.metadata,
    l.line
FROM dlq_live l FORCE INDEX (dlq_live_ready) STRAIGHT_JOIN dlq_job j ON j.id = l.id
WHERE l.backend = %s AND l.state = 3 AND l.queue = %s AND NOT EXISTS (
    SELECT 1 FROM dlq_pause p WHERE p.backend = %s AND p.queue = %s AND (p.until IS NULL OR p.until > %s)
)
ORDER BY l.urgency, l.seq
LIMIT %s
FOR UPDATE SKIP LOCKED
