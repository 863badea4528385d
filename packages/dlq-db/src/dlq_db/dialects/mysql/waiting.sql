-- waiting: the queues that have a ready job, by stepping through the index from name to name: see look.sql.
--
-- arguments  backend, twice
-- reply      a row for each queue: its name
SELECT queue FROM dlq_live FORCE INDEX (dlq_live_ready) WHERE backend = %s AND state = 3 AND backend = %s
GROUP BY backend, state, queue
