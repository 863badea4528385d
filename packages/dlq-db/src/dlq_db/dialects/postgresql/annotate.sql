-- annotate: store what running jobs say about themselves.
--
-- arguments  backend, keep (how many lines of a log), and the notes as arrays of one length, one for each job and token:
--            ids, tokens, progresses, messages, metadata, logs (lines, each with its end)
-- reply      a row for each note that held its token: its id and token
--
-- Live rows are share-locked, in the order of ids as everywhere: a settlement comes before or after, and so does
-- the deletion of the job.
WITH note AS MATERIALIZED (
    SELECT n.*
    FROM unnest(
        %(ids)s::uuid[], %(tokens)s::bigint[], %(progresses)s::float8[], %(messages)s::text[], %(metadata)s::text[],
        %(logs)s::text[]
    ) AS n (id, token, progress, message, metadata, log)
    JOIN dlq_live l ON l.id = n.id AND l.token = n.token
    WHERE l.state + 0 = 4 AND l.backend = %(backend)s
    ORDER BY l.id
    FOR SHARE OF l
),
described AS (
    UPDATE dlq_job j SET metadata = n.metadata FROM note n WHERE j.id = n.id AND n.metadata IS NOT NULL
),
stored AS (
    INSERT INTO dlq_note AS old (job_id, progress, message, log)
    SELECT id, progress, message, log FROM note WHERE progress IS NOT NULL OR message IS NOT NULL OR log <> ''
    ON CONFLICT (job_id) DO UPDATE
    SET progress = coalesce(excluded.progress, old.progress), message = coalesce(excluded.message, old.message),
        log = CASE WHEN excluded.log = '' THEN old.log ELSE (
            -- The end of the last line makes one element more.
            SELECT array_to_string(lines[cardinality(lines) - %(keep)s :], E'\n')
            FROM string_to_array(old.log || excluded.log, E'\n') AS lines
        ) END
)
SELECT id, token FROM note
