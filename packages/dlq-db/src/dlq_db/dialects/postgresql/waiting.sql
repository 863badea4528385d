-- waiting: the queues that have a ready job and are not paused.
--
-- arguments  backend, now (or null), and whole: look at all queues, from the head of the index, from name to name.
--            Else only at these: queues (text[]), and marks (text[]), for each the marks of its priorities from 100 down
--            as the text of a bigint[]; see marks.py
-- reply      one row: the queues; and for the marks the first ready jobs, in paused queues too, as three arrays of one
--            length (queue, priority, seq), walked (index entries that were read), position (the last seq given)
WITH RECURSIVE unwalked AS MATERIALIZED (
    SELECT pg_stat_get_xact_tuples_returned('dlq_live_ready'::regclass) AS entries
),
step (queue, priority, seq) AS (
    (
        SELECT queue, priority, seq
        FROM dlq_live
        WHERE %(whole)s AND (SELECT entries FROM unwalked) >= 0 AND state = 3 AND backend = %(backend)s
        ORDER BY queue, priority DESC, seq
        LIMIT 1
    )
    UNION ALL
    SELECT following.*
    FROM step
    CROSS JOIN LATERAL (
        SELECT l.queue, l.priority, l.seq
        FROM dlq_live l
        WHERE l.state = 3 AND l.backend = %(backend)s AND l.queue > step.queue
        ORDER BY l.queue, l.priority DESC, l.seq
        LIMIT 1
    ) following
),
first AS MATERIALIZED (
    SELECT queue, priority, seq FROM step
    UNION ALL
    SELECT q.name, f.priority, f.seq
    FROM unnest(%(queues)s::text[], %(marks)s::text[]) AS q (name, marks)
    CROSS JOIN LATERAL (
        SELECT b.priority, b.seq
        FROM unnest(q.marks::bigint[]) WITH ORDINALITY AS m (seq, place)
        CROSS JOIN LATERAL (
            SELECT l.priority, l.seq
            FROM dlq_live l
            WHERE l.state = 3 AND l.backend = %(backend)s AND l.queue = q.name
                AND l.priority = (101 - m.place)::smallint AND l.seq > m.seq
            ORDER BY l.seq
            LIMIT 1
        ) b
        LIMIT 1
    ) f
),
walked AS MATERIALIZED (
    SELECT pg_stat_get_xact_tuples_returned('dlq_live_ready'::regclass) - entries AS entries
    FROM unwalked
    WHERE (SELECT count(*) FROM first) >= 0
)
SELECT
    ARRAY(
        SELECT queue FROM first
        EXCEPT
        SELECT queue
        FROM dlq_pause
        WHERE backend = %(backend)s AND (until IS NULL OR until > coalesce(%(now)s::timestamptz, statement_timestamp()))
    ),
    ARRAY(SELECT queue FROM first), ARRAY(SELECT priority FROM first), ARRAY(SELECT seq FROM first),
    (SELECT entries FROM walked), coalesce(pg_sequence_last_value('dlq_seq'::regclass), 0)
