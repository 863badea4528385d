-- oldest: the job that became ready first, of each queue and priority that has a ready job. It steps through the index
-- from one pair to the next, however long the queues are.
--
-- arguments  backend, five times
-- reply      a row for each pair: the id of its job
SELECT l.id
FROM (
    SELECT queue, urgency, MIN(seq) AS seq
    FROM dlq_live FORCE INDEX (dlq_live_ready)
    WHERE backend = %s AND state = 3
    GROUP BY backend, state, queue, urgency
) first
STRAIGHT_JOIN dlq_live l FORCE INDEX (dlq_live_seq) ON l.seq = first.seq
WHERE %s = l.backend AND %s = l.backend AND %s = l.backend AND %s = l.backend
