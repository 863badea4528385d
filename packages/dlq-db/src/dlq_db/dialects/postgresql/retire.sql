-- retire: forget a runner and its workers, if its beat still is the given one.
--
-- arguments  backend, runner, beat (null for whatever it is)
-- reply      the runner's name, or no row when there is no such runner with that beat
WITH gone AS (
    DELETE FROM dlq_runner
    WHERE backend = %(backend)s AND name = %(runner)s AND beat = coalesce(%(beat)s::bigint, beat)
    RETURNING id, name
),
workers AS (
    DELETE FROM dlq_worker w USING gone WHERE w.runner_id = gone.id
)
SELECT name FROM gone
