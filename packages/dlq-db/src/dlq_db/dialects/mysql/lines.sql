-- lines: those that begin in a range and in which jobs wait for a slot, by stepping through the index: see look.sql.
--
-- arguments  the first line, the end of the range twice, how many at most
-- reply      a row for each: the line
SELECT line FROM dlq_live FORCE INDEX (dlq_live_line) WHERE waits = 2 AND line >= %s AND line < %s AND line < %s
GROUP BY waits, line
LIMIT %s
