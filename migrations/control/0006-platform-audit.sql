-- The platform's own chain: acts that belong to no tenant, acts of operators, and what is left of tenants that are gone.
-- The same tables as in every tenant's own file (migrations/tenant/0005-audit.sql).

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
