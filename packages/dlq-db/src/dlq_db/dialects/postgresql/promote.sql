-- promote: make scheduled jobs that are due ready, the longest due first.
--
-- arguments  backend, most, now (or null)
-- reply      a row for each job: its id
WITH due AS MATERIALIZED (
    SELECT id, due_at, seq
    FROM dlq_live
    WHERE state = 1 AND backend = %(backend)s AND due_at <= coalesce(%(now)s::timestamptz, statement_timestamp())
    ORDER BY due_at, seq
    LIMIT %(most)s
    FOR UPDATE SKIP LOCKED
),
numbered AS MATERIALIZED (
    SELECT id, nextval('dlq_seq') AS seq FROM (SELECT id FROM due ORDER BY due_at, seq) ordered
)
UPDATE dlq_live l
SET state = 3, due_at = NULL, seq = n.seq
FROM numbered n
WHERE l.id = n.id
RETURNING l.id
