-- Doorpost's merged stream: the events of many nodes, each once. Printed by `doorpost forward --schema`; to be run by the owner of
-- the database, again after each upgrade of Doorpost: it changes only what is missing or older.
--
--     doorpost forward --schema | psql -v ON_ERROR_STOP=1 doorpost
--
-- Everything is created in the first schema of the search_path.
BEGIN;
SET LOCAL client_min_messages = warning;
SELECT pg_advisory_xact_lock(hashtext('doorpost schema'));

DO $$
BEGIN
    IF current_setting('server_encoding') <> 'UTF8' THEN
        RAISE EXCEPTION 'the encoding of this database is %, and Doorpost needs UTF8', current_setting('server_encoding')
            USING HINT = 'Create it with: CREATE DATABASE doorpost ENCODING ''UTF8'' TEMPLATE template0';
    END IF;
END $$;

CREATE TABLE IF NOT EXISTS schema_version (
    version integer PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- The events. One row is one line of a node's journal. Two unique keys decide what "once" means, at any age, as the journal's index
-- does on one node.
--
-- Texts compare by bytes (COLLATE "C"): with a language's rules, an upgrade of the system's C library could change their order, and
-- a unique index would no longer find what it holds.
--
-- The table is not partitioned: a unique key of a partitioned table must contain the partition key, so an event that is received in
-- two months would be stored twice.
CREATE TABLE IF NOT EXISTS events (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- the order of the stream; may have gaps
    node text COLLATE "C" NOT NULL,                         -- the node that received it
    seq bigint NOT NULL,                                    -- its number in the node's journal
    received_at timestamptz NOT NULL,
    pressed_at timestamptz,                                 -- data.attributes.timestamp
    type text COLLATE "C" NOT NULL,
    sub_type text COLLATE "C",
    device text COLLATE "C",
    account text COLLATE "C",
    request_id text COLLATE "C" NOT NULL UNIQUE,
    event_id text COLLATE "C" NOT NULL UNIQUE,
    key text COLLATE "C" NOT NULL,                          -- fingerprint of the key that verified it
    signature text COLLATE "C" NOT NULL,
    verbatim boolean NOT NULL,                              -- false: line breaks of the body became spaces
    body bytea NOT NULL                                     -- Ring's bytes
);
CREATE INDEX IF NOT EXISTS events_received_at ON events (received_at);
CREATE INDEX IF NOT EXISTS events_device ON events (device, number);
CREATE INDEX IF NOT EXISTS events_account ON events (account, number) WHERE device IS NULL;

-- Numbers become visible in their order: inserts take turns, from before the first number is drawn until they are committed. So a
-- reader that continues after the highest number it has seen misses nothing.
CREATE OR REPLACE FUNCTION take_insert_lock() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock('pg_class'::regclass::oid::integer, tg_relid::bigint::bit(32)::integer);
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION notify_followers() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('doorpost', '');
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER take_insert_lock BEFORE INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION take_insert_lock();
CREATE OR REPLACE TRIGGER notify_followers AFTER INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION notify_followers();

-- How far each node has forwarded its journal.
CREATE TABLE IF NOT EXISTS nodes (
    node text COLLATE "C" PRIMARY KEY,
    seq bigint NOT NULL,
    forwarded_at timestamptz NOT NULL
);

-- The rows of a batch of a node's lines, in order: `received` in microseconds since 1970, `pressed` in milliseconds or 0.
CREATE OR REPLACE FUNCTION batch_rows(
    the_node text, seqs bigint[], received bigint[], pressed bigint[], types text[], sub_types text[], devices text[],
    accounts text[], request_ids text[], event_ids text[], keys text[], signatures text[], verbatims bigint[], bodies bytea[])
RETURNS TABLE (node text, seq bigint, received_at timestamptz, pressed_at timestamptz, type text, sub_type text, device text,
               account text, request_id text, event_id text, key text, signature text, verbatim boolean, body bytea)
LANGUAGE sql STABLE AS $$
    SELECT the_node, e.seq, timestamptz 'epoch' + e.received * interval '1 microsecond',
           timestamptz 'epoch' + nullif(e.pressed, 0) * interval '1 millisecond', e.type, nullif(e.sub_type, ''),
           nullif(e.device, ''), nullif(e.account, ''), e.request_id, e.event_id, e.key, e.signature, e.verbatim <> 0, e.body
    FROM unnest(seqs, received, pressed, types, sub_types, devices, accounts, request_ids, event_ids, keys, signatures, verbatims,
                bodies) WITH ORDINALITY
         AS e (seq, received, pressed, type, sub_type, device, account, request_id, event_id, key, signature, verbatim, body, line)
    ORDER BY e.line
$$;

-- Stores a batch and sets `stored` to the number of events that were new.
--
-- It commits by itself: a client that is stopped between the messages of the protocol would otherwise hold the insert lock. The row in
-- `nodes` makes the commit write, and so wait for synchronous standbys, even if all events are there already: an earlier attempt
-- whose connection was lost may have stored them on this server only.
--
-- Most batches have only new events. ON CONFLICT looks each row up in the three unique indexes before it is stored, which costs a
-- quarter of the work, so a batch is first stored without it.
CREATE OR REPLACE PROCEDURE store_events(
    the_node text, seqs bigint[], received bigint[], pressed bigint[], types text[], sub_types text[], devices text[],
    accounts text[], request_ids text[], event_ids text[], keys text[], signatures text[], verbatims bigint[], bodies bytea[],
    INOUT stored bigint DEFAULT 0) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO nodes VALUES (the_node, seqs[cardinality(seqs)], now())
        ON CONFLICT (node) DO UPDATE SET seq = excluded.seq, forwarded_at = excluded.forwarded_at;
    BEGIN
        INSERT INTO events (node, seq, received_at, pressed_at, type, sub_type, device, account, request_id, event_id, key, signature,
                            verbatim, body)
            SELECT * FROM batch_rows(the_node, seqs, received, pressed, types, sub_types, devices, accounts, request_ids, event_ids,
                                     keys, signatures, verbatims, bodies);
    EXCEPTION WHEN unique_violation THEN
        INSERT INTO events (node, seq, received_at, pressed_at, type, sub_type, device, account, request_id, event_id, key, signature,
                            verbatim, body)
            SELECT * FROM batch_rows(the_node, seqs, received, pressed, types, sub_types, devices, accounts, request_ids, event_ids,
                                     keys, signatures, verbatims, bodies)
            ON CONFLICT DO NOTHING;
    END;
    GET DIAGNOSTICS stored = ROW_COUNT;
    COMMIT;
END $$;

-- ---- runners that share the work: doorpost exec --from ----

-- A consumer runs a command for each event; `position`: the events up to this number have been handed to `turns`.
CREATE TABLE IF NOT EXISTS consumers (
    consumer text COLLATE "C" PRIMARY KEY,
    position bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- The running processes of a consumer. The others delete the row of one that was not seen for the time of lease(): its turns are free.
CREATE TABLE IF NOT EXISTS runners (
    runner bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    consumer text COLLATE "C" NOT NULL REFERENCES consumers ON DELETE CASCADE,
    host text NOT NULL,
    since timestamptz NOT NULL DEFAULT clock_timestamp(), -- seen without interruption since then
    seen timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- A row for each device of a consumer: whose turn is it? Events of one device run in order because only the runner that has the turn
-- runs them, one at a time. Events without a device take turns by account.
CREATE TABLE IF NOT EXISTS turns (
    consumer text COLLATE "C" NOT NULL REFERENCES consumers ON DELETE CASCADE,
    device text COLLATE "C" NOT NULL,
    done bigint NOT NULL,      -- the events up to this number are finished
    last bigint NOT NULL,      -- the last one handed over; the device waits for its turn while done < last
    head bigint,               -- the event that runs or is retried
    runner bigint,             -- the one that runs it
    attempts integer NOT NULL DEFAULT 0,
    due timestamptz NOT NULL DEFAULT clock_timestamp(),
    dropped bigint,            -- an event that is not to be retried
    event_id text, failed_at timestamptz, how text, output bytea, -- of the last failure, for people
    PRIMARY KEY (consumer, device)
);
CREATE INDEX IF NOT EXISTS turns_due ON turns (consumer, due) WHERE done < last;
CREATE INDEX IF NOT EXISTS turns_runner ON turns (runner) WHERE runner IS NOT NULL;

-- The events that a consumer has given up. `runner`: one that retries it.
CREATE TABLE IF NOT EXISTS failed (
    consumer text COLLATE "C" NOT NULL REFERENCES consumers ON DELETE CASCADE,
    number bigint NOT NULL,
    event_id text NOT NULL,
    attempts integer NOT NULL,
    failed_at timestamptz NOT NULL,
    how text NOT NULL,
    output bytea NOT NULL,
    runner bigint,
    PRIMARY KEY (consumer, number)
);

CREATE OR REPLACE FUNCTION lease() RETURNS interval LANGUAGE sql IMMUTABLE AS $$ SELECT interval '8 s' $$;

CREATE OR REPLACE FUNCTION register_runner(the_consumer text, the_host text) RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO runners (consumer, host) VALUES (the_consumer, the_host) RETURNING runner
$$;

-- Ends a runner: its turns are free at once.
CREATE OR REPLACE FUNCTION retire_runner(the_runner bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE turns SET runner = NULL WHERE runner = the_runner;
    UPDATE failed SET runner = NULL WHERE runner = the_runner;
    DELETE FROM runners WHERE runner = the_runner;
END $$;

-- Renews the runner's lease, and ends those of dead runners. Their rows are deleted, so there is one answer to whether a runner was in
-- time: one whose row is gone must register again, and has no turns. Only a runner that has been seen without interruption for as long
-- as a lease declares others dead: after an outage of the database all leases have expired, and nobody is dead.
CREATE OR REPLACE FUNCTION renew_lease(the_runner bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    moment timestamptz := clock_timestamp();
    renewed record;
BEGIN
    UPDATE runners SET since = CASE WHEN seen < moment - lease() THEN moment ELSE since END, seen = moment
        WHERE runner = the_runner RETURNING consumer, since INTO renewed;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'runner % is not registered', the_runner USING ERRCODE = 'no_data_found';
    END IF;
    IF renewed.since <= moment - lease() THEN
        DELETE FROM runners WHERE runner IN
            (SELECT runner FROM runners WHERE consumer = renewed.consumer AND seen < moment - lease() FOR UPDATE SKIP LOCKED);
    END IF;
END $$;

-- Renews the lease, and returns the turns that the runner has. It reads them in a statement of its own, after it has waited for the
-- runner's row: a call of take_turns() whose connection was lost may still be running.
CREATE OR REPLACE FUNCTION turns_of(the_runner bigint)
RETURNS TABLE (turn_device text, turn_number bigint, turn_attempts integer) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM renew_lease(the_runner);
    RETURN QUERY
        SELECT t.device, t.head, t.attempts FROM turns AS t WHERE t.runner = the_runner
        UNION ALL SELECT '', f.number, 0 FROM failed AS f WHERE f.runner = the_runner;
END $$;

-- Hands new events over to their devices' turns. One runner at a time does it, and the others do not wait. Returns true if there
-- are more.
CREATE OR REPLACE FUNCTION hand_over(the_consumer text, only_types text[], only_devices text[], only_accounts text[])
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    before bigint;
    through bigint;
    count bigint;
BEGIN
    SELECT position INTO before FROM consumers WHERE consumer = the_consumer FOR NO KEY UPDATE SKIP LOCKED;
    SELECT max(number), count(*) INTO through, count
        FROM (SELECT number FROM events WHERE number > before ORDER BY number LIMIT 5000) AS next;
    IF count = 0 THEN
        RETURN false;
    END IF;
    INSERT INTO turns AS t (consumer, device, done, last)
        SELECT the_consumer, coalesce(device, account, ''), before, max(number) FROM events
        WHERE number > before AND number <= through AND device IS DISTINCT FROM 'doorpost.test'
          AND (cardinality(only_types) = 0 OR type = ANY (only_types))
          AND (cardinality(only_devices) = 0 OR device = ANY (only_devices))
          AND (cardinality(only_accounts) = 0 OR account = ANY (only_accounts))
        GROUP BY 2 ORDER BY 2
        ON CONFLICT (consumer, device) DO UPDATE
            SET last = excluded.last, done = CASE WHEN t.done < t.last THEN t.done ELSE excluded.done END,
                due = CASE WHEN t.done < t.last THEN t.due ELSE clock_timestamp() END;
    UPDATE consumers SET position = through WHERE consumer = the_consumer;
    RETURN count = 5000;
END $$;

-- The next event of a device that the consumer runs; NULL: none.
CREATE OR REPLACE FUNCTION next_of(the_device text, done bigint, last bigint, only_types text[], only_accounts text[])
RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT least(
        (SELECT number FROM events WHERE device = the_device AND number > done AND number <= last
            AND (cardinality(only_types) = 0 OR type = ANY (only_types))
            AND (cardinality(only_accounts) = 0 OR account = ANY (only_accounts)) ORDER BY number LIMIT 1),
        (SELECT number FROM events WHERE device IS NULL AND account = nullif(the_device, '') AND number > done AND number <= last
            AND (cardinality(only_types) = 0 OR type = ANY (only_types)) ORDER BY number LIMIT 1),
        (SELECT number FROM events WHERE device IS NULL AND account IS NULL AND the_device = '' AND number > done AND number <= last
            AND (cardinality(only_types) = 0 OR type = ANY (only_types)) ORDER BY number LIMIT 1))
$$;

-- Renews the runner's lease and gives it up to `wanted` turns. A row with number 0: call it again, there is more to hand over.
-- By index, in its order: a session keeps the plans that it made when the tables were small, until statistics are gathered.
CREATE OR REPLACE FUNCTION take_turns(the_consumer text, the_runner bigint, wanted integer, only_types text[], only_devices text[],
                                      only_accounts text[])
RETURNS TABLE (turn_device text, turn_number bigint, turn_attempts integer) LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    moment timestamptz;
    turn record;
BEGIN
    PERFORM renew_lease(the_runner);
    IF hand_over(the_consumer, only_types, only_devices, only_accounts) THEN
        turn_number := 0;
        RETURN NEXT;
    END IF;
    moment := clock_timestamp();
    FOR turn IN
        SELECT t.device, t.done, t.last, t.head, t.attempts, t.dropped FROM turns AS t
        WHERE t.consumer = the_consumer AND t.done < t.last AND t.due <= moment
          AND NOT EXISTS (SELECT FROM runners AS r WHERE r.runner = t.runner)
        ORDER BY t.due LIMIT wanted FOR UPDATE SKIP LOCKED
    LOOP
        IF turn.dropped = turn.head THEN -- it awaited a retry, or its runner is dead; the next event of the device is due at once
            UPDATE turns AS t SET done = t.head, head = NULL, runner = NULL, attempts = 0, due = clock_timestamp(), dropped = NULL,
                    event_id = NULL, failed_at = NULL, how = NULL, output = NULL
                WHERE t.consumer = the_consumer AND t.device = turn.device
                  AND NOT EXISTS (SELECT FROM runners AS r WHERE r.runner = t.runner);
            CONTINUE;
        END IF;
        turn_device := turn.device;
        turn_attempts := turn.attempts;
        turn_number := coalesce(turn.head, next_of(turn.device, turn.done, turn.last, only_types, only_accounts));
        IF turn_number IS NULL THEN
            UPDATE turns AS t SET done = t.last WHERE t.consumer = the_consumer AND t.device = turn.device;
        ELSE
            -- Looks again: one that has registered since the query above began may have the turn.
            UPDATE turns AS t SET runner = the_runner, head = turn_number
                WHERE t.consumer = the_consumer AND t.device = turn.device
                  AND NOT EXISTS (SELECT FROM runners AS r WHERE r.runner = t.runner);
            IF FOUND THEN
                RETURN NEXT;
            END IF;
        END IF;
    END LOOP;
END $$;

-- Records how runs ended. `states`: 0: the event is finished; 1: it is given up; 2: it is run again after `delays` microseconds.
-- Returns the events of which nothing was recorded, because another runner has taken them over.
CREATE OR REPLACE FUNCTION finish_turns(the_consumer text, the_runner bigint, devices text[], numbers bigint[], states bigint[],
                                        tries bigint[], delays bigint[], event_ids text[], hows text[], outputs bytea[])
RETURNS SETOF bigint LANGUAGE plpgsql AS $$
DECLARE
    run record;
    was record;
BEGIN
    FOR run IN
        SELECT * FROM unnest(devices, numbers, states, tries, delays, event_ids, hows, outputs)
            AS r (device, number, state, attempts, delay, event_id, how, output) ORDER BY r.device
    LOOP
        SELECT t.dropped INTO was FROM turns AS t
            WHERE t.consumer = the_consumer AND t.device = run.device AND t.head = run.number AND t.runner = the_runner FOR UPDATE;
        IF NOT FOUND THEN
            RETURN NEXT run.number;
            CONTINUE;
        END IF;
        IF run.state = 2 AND was.dropped IS DISTINCT FROM run.number THEN
            UPDATE turns AS t SET runner = NULL, due = clock_timestamp() + run.delay * interval '1 microsecond'
                WHERE t.consumer = the_consumer AND t.device = run.device;
            -- An interrupted run was no attempt.
            UPDATE turns AS t SET attempts = run.attempts, event_id = run.event_id, failed_at = clock_timestamp(), how = run.how,
                    output = run.output
                WHERE t.consumer = the_consumer AND t.device = run.device AND t.attempts < run.attempts;
        ELSE
            UPDATE turns AS t SET done = run.number, head = NULL, runner = NULL, attempts = 0, due = clock_timestamp(),
                    dropped = NULL, event_id = NULL, failed_at = NULL, how = NULL, output = NULL
                WHERE t.consumer = the_consumer AND t.device = run.device;
        END IF;
        IF run.state = 1 AND was.dropped IS DISTINCT FROM run.number THEN
            INSERT INTO failed AS f (consumer, number, event_id, attempts, failed_at, how, output)
                VALUES (the_consumer, run.number, run.event_id, run.attempts, clock_timestamp(), run.how, run.output)
                ON CONFLICT (consumer, number) DO UPDATE SET attempts = excluded.attempts, failed_at = excluded.failed_at,
                    how = excluded.how, output = excluded.output;
        END IF;
    END LOOP;
END $$;

-- Gives the runner up to `wanted` events of the list of given-up ones, after number `previous`; `chosen`: only the one with this
-- number or id.
CREATE OR REPLACE FUNCTION take_failed(the_consumer text, the_runner bigint, wanted integer, previous bigint, chosen text)
RETURNS SETOF bigint LANGUAGE plpgsql AS $$
DECLARE
    moment timestamptz;
BEGIN
    PERFORM renew_lease(the_runner);
    moment := clock_timestamp();
    RETURN QUERY
        UPDATE failed AS f SET runner = the_runner
        FROM (SELECT number FROM failed
              WHERE consumer = the_consumer AND number > previous AND (chosen IS NULL OR chosen IN (number::text, event_id))
                AND NOT EXISTS (SELECT FROM runners AS r WHERE r.runner = failed.runner AND r.seen >= moment - lease())
              ORDER BY number LIMIT wanted FOR UPDATE SKIP LOCKED) AS free
        WHERE f.consumer = the_consumer AND f.number = free.number
        RETURNING f.number;
END $$;

-- Records how events of that list were run again; as finish_turns().
CREATE OR REPLACE FUNCTION finish_failed(the_consumer text, the_runner bigint, numbers bigint[], states bigint[], hows text[],
                                         outputs bytea[])
RETURNS SETOF bigint LANGUAGE plpgsql AS $$
DECLARE
    run record;
BEGIN
    FOR run IN
        SELECT * FROM unnest(numbers, states, hows, outputs) AS r (number, state, how, output) ORDER BY r.number
    LOOP
        IF run.state = 0 THEN
            DELETE FROM failed AS f WHERE f.consumer = the_consumer AND f.number = run.number AND f.runner = the_runner;
        ELSIF run.state = 1 THEN
            UPDATE failed AS f SET runner = NULL, attempts = f.attempts + 1, failed_at = clock_timestamp(), how = run.how,
                output = run.output
                WHERE f.consumer = the_consumer AND f.number = run.number AND f.runner = the_runner;
        ELSE
            UPDATE failed AS f SET runner = NULL
                WHERE f.consumer = the_consumer AND f.number = run.number AND f.runner = the_runner;
        END IF;
        IF NOT FOUND THEN
            RETURN NEXT run.number;
        END IF;
    END LOOP;
END $$;

-- ---- roles, to be granted to the users that log in ----

DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['doorpost_writer', 'doorpost_reader', 'doorpost_runner'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role);
        END IF;
    END LOOP;
END $$;

REVOKE ALL ON PROCEDURE store_events FROM PUBLIC;
REVOKE ALL ON FUNCTION register_runner, retire_runner, renew_lease, turns_of, hand_over, take_turns, finish_turns, take_failed,
    finish_failed FROM PUBLIC;

GRANT SELECT ON schema_version TO doorpost_writer, doorpost_reader, doorpost_runner;
GRANT INSERT ON events TO doorpost_writer;
GRANT SELECT, INSERT, UPDATE ON nodes TO doorpost_writer;
GRANT EXECUTE ON PROCEDURE store_events TO doorpost_writer;
GRANT SELECT ON events, nodes, consumers, runners, turns, failed TO doorpost_reader, doorpost_runner;
GRANT INSERT, UPDATE, DELETE ON consumers, runners, turns, failed TO doorpost_runner;
GRANT EXECUTE ON FUNCTION register_runner, retire_runner, renew_lease, turns_of, hand_over, take_turns, finish_turns, take_failed,
    finish_failed TO doorpost_runner;

INSERT INTO schema_version (version) VALUES (1) ON CONFLICT DO NOTHING;
COMMIT;
