-- lines: those that begin in a range and in which jobs wait for a slot, by stepping through the index from line to line,
-- however many jobs wait in each.
--
-- arguments  the first line, the end of the range twice, how many at most
-- reply      a row for each: the line
WITH RECURSIVE step (line) AS (
    SELECT min(line) FROM dlq_live WHERE waits = 2 AND line >= %s AND line < %s
    UNION ALL
    SELECT (SELECT min(line) FROM dlq_live WHERE waits = 2 AND line > step.line AND line < %s)
    FROM step
    WHERE step.line IS NOT NULL
)
SELECT line FROM step WHERE line IS NOT NULL LIMIT %s
