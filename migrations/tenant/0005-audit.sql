-- Who did what: one row per act, never changed, each holding the hash of the one before it. How a row becomes a hash:
-- docs/audit.md. Rows are added by one statement (src/audit/chain.ts); the triggers refuse everything else.

CREATE TABLE audit_log (
  seq INTEGER PRIMARY KEY CHECK (seq >= 1),
  id TEXT NOT NULL UNIQUE,
  at_ms INTEGER NOT NULL,
  action TEXT NOT NULL,
  outcome TEXT NOT NULL CHECK (outcome IN ('ok', 'denied', 'failed')),
  actor_kind TEXT NOT NULL,
  actor_id TEXT NOT NULL,
  actor_name TEXT NOT NULL,
  actor_role TEXT,
  credential_kind TEXT,
  credential_id TEXT,
  address TEXT,
  request_id TEXT,
  target_kind TEXT,
  target_id TEXT,
  target_name TEXT,
  details TEXT NOT NULL CHECK (json_valid(details)),
  prev_hash TEXT NOT NULL,
  hash TEXT NOT NULL
) STRICT;

CREATE INDEX audit_log_by_time ON audit_log (at_ms);
CREATE INDEX audit_log_by_action ON audit_log (action, seq);
CREATE INDEX audit_log_by_actor ON audit_log (actor_id, seq);
CREATE INDEX audit_log_by_target ON audit_log (target_id, seq);
CREATE INDEX audit_log_refused ON audit_log (outcome, seq) WHERE outcome <> 'ok';

-- The last row, once more: rows taken off the end are missed, and the next one still follows what was there.
CREATE TABLE audit_end (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  seq INTEGER NOT NULL,
  hash TEXT NOT NULL
) STRICT;

CREATE TRIGGER audit_log_in_order BEFORE INSERT ON audit_log
WHEN NEW.seq <> coalesce((SELECT seq FROM audit_end), 0) + 1
  OR NEW.prev_hash <> coalesce((SELECT hash FROM audit_end), NEW.prev_hash)
  OR EXISTS (SELECT 1 FROM audit_log WHERE id = NEW.id OR seq = NEW.seq)
BEGIN
  SELECT RAISE(ABORT, 'audit rows follow one another');
END;

CREATE TRIGGER audit_log_end AFTER INSERT ON audit_log
BEGIN
  INSERT INTO audit_end VALUES (1, NEW.seq, NEW.hash)
    ON CONFLICT (one) DO UPDATE SET seq = excluded.seq, hash = excluded.hash;
END;

CREATE TRIGGER audit_log_no_update BEFORE UPDATE ON audit_log
BEGIN
  SELECT RAISE(ABORT, 'audit rows never change');
END;

CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log
BEGIN
  SELECT RAISE(ABORT, 'audit rows never change');
END;

CREATE TRIGGER audit_end_forward BEFORE UPDATE ON audit_end WHEN NEW.seq <> OLD.seq + 1
BEGIN
  SELECT RAISE(ABORT, 'the end of the audit log only moves on');
END;

CREATE TRIGGER audit_end_no_delete BEFORE DELETE ON audit_end
BEGIN
  SELECT RAISE(ABORT, 'the end of the audit log only moves on');
END;

-- Where the chain stood at the end of a day of UTC, signed: what a tenant keeps to prove later what was there.
CREATE TABLE audit_heads (
  day TEXT PRIMARY KEY CHECK (day GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]'),
  seq INTEGER NOT NULL,
  hash TEXT NOT NULL,
  signed TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER audit_heads_no_update BEFORE UPDATE ON audit_heads
BEGIN
  SELECT RAISE(ABORT, 'signed heads never change');
END;

CREATE TRIGGER audit_heads_no_delete BEFORE DELETE ON audit_heads
BEGIN
  SELECT RAISE(ABORT, 'signed heads never change');
END;

-- Beginnings and ends of runs and of tool calls, in the order in which they became durable: what `audit.list` numbers.
-- What they were about stays in runs, run_steps and usage_events, and is joined when it is read. No step: the run itself.
-- Commands typed into a conversation are kept as runs for their keys' sake; no agent runs, so they are left out.
CREATE TABLE activity (
  seq INTEGER PRIMARY KEY,
  at_ms INTEGER NOT NULL,
  run_id TEXT NOT NULL,
  step INTEGER,
  call_id TEXT,
  is_end INTEGER NOT NULL CHECK (is_end IN (0, 1))
) STRICT;

CREATE UNIQUE INDEX activity_by_run ON activity (run_id, seq);
CREATE INDEX activity_by_time ON activity (at_ms);

CREATE TRIGGER runs_begun AFTER INSERT ON runs WHEN NEW.state = 'running' AND NEW.channel <> 'command'
BEGIN
  INSERT INTO activity (at_ms, run_id, is_end) VALUES (coalesce(NEW.started_at_ms, NEW.accepted_at_ms), NEW.run_id, 0);
END;

CREATE TRIGGER runs_started AFTER UPDATE OF state ON runs
WHEN OLD.state = 'queued' AND NEW.state = 'running' AND NEW.channel <> 'command'
BEGIN
  INSERT INTO activity (at_ms, run_id, is_end) VALUES (coalesce(NEW.started_at_ms, NEW.accepted_at_ms), NEW.run_id, 0);
END;

CREATE TRIGGER runs_ended AFTER UPDATE OF state ON runs
WHEN OLD.state IN ('queued', 'running') AND NEW.state IN ('done', 'failed', 'aborted')
  AND NEW.channel <> 'command'
BEGIN
  INSERT INTO activity (at_ms, run_id, is_end) VALUES (coalesce(NEW.ended_at_ms, NEW.accepted_at_ms), NEW.run_id, 1);
END;

CREATE TRIGGER run_steps_begun AFTER INSERT ON run_steps
BEGIN
  INSERT INTO activity (at_ms, run_id, step, call_id, is_end)
    VALUES (NEW.started_at_ms, NEW.run_id, NEW.step, NEW.call_id, 0);
END;

CREATE TRIGGER run_steps_ended AFTER UPDATE OF state ON run_steps
WHEN OLD.state = 'intent' AND NEW.state IN ('done', 'uncertain')
BEGIN
  INSERT INTO activity (at_ms, run_id, step, call_id, is_end)
    VALUES (coalesce(NEW.ended_at_ms, NEW.started_at_ms), NEW.run_id, NEW.step, NEW.call_id, 1);
END;

-- What happened before this table was there, in the order of its times.
INSERT INTO activity (at_ms, run_id, step, call_id, is_end)
SELECT at_ms, run_id, step, call_id, is_end FROM (
  SELECT coalesce(started_at_ms, accepted_at_ms) AS at_ms, run_id, NULL AS step, NULL AS call_id, 0 AS is_end, 0 AS place
    FROM runs WHERE (started_at_ms IS NOT NULL OR state = 'running') AND channel <> 'command'
  UNION ALL
  SELECT started_at_ms, run_id, step, call_id, 0, 1 FROM run_steps
  UNION ALL
  SELECT coalesce(ended_at_ms, started_at_ms), run_id, step, call_id, 1, 2 FROM run_steps WHERE state <> 'intent'
  UNION ALL
  SELECT coalesce(ended_at_ms, accepted_at_ms), run_id, NULL, NULL, 1, 3 FROM runs
    WHERE state IN ('done', 'failed', 'aborted') AND channel <> 'command'
) ORDER BY at_ms, run_id, place, step, call_id;
