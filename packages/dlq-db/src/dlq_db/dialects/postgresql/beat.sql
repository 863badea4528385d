-- beat: raise a runner's beat and read those of all, in one statement: a process that is stopped in between holds
-- no lock, for there is no between.
--
-- arguments  backend, runner, now (or null)
-- reply      a row for each runner, its name and beat; none when the runner is not registered
WITH own AS (
    UPDATE dlq_runner
    SET beat = beat + 1, beat_at = coalesce(%(now)s::timestamptz, statement_timestamp())
    WHERE backend = %(backend)s AND name = %(runner)s
    RETURNING name, beat
)
SELECT name, beat FROM own
UNION ALL
SELECT r.name, r.beat FROM dlq_runner r
WHERE r.backend = %(backend)s AND r.name <> %(runner)s AND EXISTS (SELECT FROM own)
