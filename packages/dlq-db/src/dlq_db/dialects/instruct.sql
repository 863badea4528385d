-- instruct: tell a worker something. A ping changes no order, and has the last one told again.
--
-- arguments  order (null for a ping), backend, worker
-- reply      the number of the instruction, or no row when there is no such worker
UPDATE dlq_worker
SET "order" = coalesce(%s, "order"), instructed = instructed + 1
WHERE backend = %s AND name = %s
RETURNING instructed
