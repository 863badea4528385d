-- changed: the function of all triggers of on_change. It stores a job for the change of a row, in the writer's transaction.
--
-- argument   one JSON object: what enqueue.sql wants of a job but its id and payload; max_payload (bytes); columns, a list of
--            [column, name in the payload, whether JSON would make another number of it]
--
-- It runs with the rights of the owner of our tables, who need not be the writer, so it names the schema of all that it
-- uses. The settings make the payload look the same whoever writes.
CREATE OR REPLACE FUNCTION dlq_changed() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = {schema}, pg_temp
SET timezone = 'UTC'
SET bytea_output = 'hex'
SET intervalstyle = 'iso_8601'
SET extra_float_digits = 1
AS $function$
#variable_conflict use_column
DECLARE
    job CONSTANT jsonb := TG_ARGV[0];
    arguments CONSTANT text := jsonb_build_array(
        jsonb_build_array(),
        (
            SELECT jsonb_object_agg(
                side,
                CASE WHEN image IS NOT NULL THEN (
                    SELECT coalesce(
                        jsonb_object_agg(
                            col ->> 1,
                            CASE WHEN (col ->> 2)::boolean THEN to_jsonb(image ->> (col ->> 0)) ELSE image -> (col ->> 0) END
                        ),
                        '{}'
                    )
                    FROM jsonb_array_elements(job -> 'columns') AS col
                ) END
            )
            FROM (VALUES ('old', to_jsonb(OLD)), ('new', to_jsonb(NEW))) AS row_before_and_after (side, image)
        )
    );
    given_backend CONSTANT text := job ->> 'backend';
    given_now CONSTANT timestamptz := NULL;
    -- A UUID of version 7 (RFC 9562, 5.7): the milliseconds lie over the first six bytes of a random one, whose version
    -- 4 becomes 7 by two more bits.
    given_ids CONSTANT uuid[] := ARRAY[encode(
        set_bit(
            set_bit(
                overlay(
                    uuid_send(gen_random_uuid())
                    PLACING substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1
                ),
                52, 1
            ),
            53, 1
        ),
        'hex'
    )::uuid];
    given_tasks CONSTANT text[] := ARRAY[job ->> 'task'];
    given_queues CONSTANT text[] := ARRAY[job ->> 'queue'];
    given_priorities CONSTANT smallint[] := ARRAY[job ->> 'priority'];
    given_payloads CONSTANT text[] := ARRAY[arguments];
    given_run_afters CONSTANT timestamptz[] := ARRAY[NULL];
    given_max_attempts CONSTANT smallint[] := ARRAY[job ->> 'max_attempts'];
    given_max_interruptions CONSTANT smallint[] := ARRAY[job ->> 'max_interruptions'];
    given_overrides CONSTANT text[] := ARRAY[job ->> 'overrides'];
    given_expires_afters CONSTANT float8[] := ARRAY[job ->> 'expires_after'];
    given_metadata CONSTANT text[] := ARRAY[job ->> 'metadata'];
    given_limits CONSTANT text[] := ARRAY[NULL];
    given_lines CONSTANT text[] := ARRAY[NULL];
    stored_at timestamptz;
BEGIN
    IF octet_length(arguments) > (job ->> 'max_payload')::bigint THEN
        RAISE EXCEPTION 'the change of a row of % makes arguments of % bytes for the task %, over the max_payload of %',
            TG_TABLE_NAME, octet_length(arguments), job ->> 'task', job ->> 'max_payload'
            USING ERRCODE = 'program_limit_exceeded',
            HINT = 'Name the fields that the task needs, on_change(..., fields=[...]), and migrate.';
    END IF;
    {enqueue} INTO stored_at;
    RETURN NULL;
END
$function$
