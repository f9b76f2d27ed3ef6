-- Exports of usage that lose nothing and count nothing twice, whatever clocks, backups and lost answers do.

-- Who has news: every copy of a day takes the next number. Compared with what an export has seen, so no clock matters.
CREATE TABLE usage_news (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  tenant_id TEXT NOT NULL UNIQUE
) STRICT;

INSERT INTO usage_news (tenant_id) SELECT DISTINCT tenant_id FROM usage_daily_marks;

CREATE TRIGGER usage_news_first AFTER INSERT ON usage_daily_marks
BEGIN
  DELETE FROM usage_news WHERE tenant_id = NEW.tenant_id;
  INSERT INTO usage_news (tenant_id) VALUES (NEW.tenant_id);
END;

CREATE TRIGGER usage_news_next AFTER UPDATE ON usage_daily_marks
BEGIN
  DELETE FROM usage_news WHERE tenant_id = NEW.tenant_id;
  INSERT INTO usage_news (tenant_id) VALUES (NEW.tenant_id);
END;

-- What the event at the cursor was; empty when nobody knows. Another one there means that the tenant's file is an older one.
ALTER TABLE usage_export_cursors ADD COLUMN cursor_key TEXT NOT NULL DEFAULT '';
-- How often somebody moved the cursor, so that an answer to what was sent before counts for nothing.
ALTER TABLE usage_export_cursors ADD COLUMN moves INTEGER NOT NULL DEFAULT 0;
-- Number of the newest news that this export has dealt with.
ALTER TABLE usage_export_cursors ADD COLUMN seen_number INTEGER NOT NULL DEFAULT 0;

CREATE INDEX usage_export_cursors_due ON usage_export_cursors (next_at_ms) WHERE next_at_ms > 0;

-- What the newest messages were made of: 12 hexadecimal digits for each event from first_seq to last_seq.
CREATE TABLE usage_export_sent (
  export_of TEXT NOT NULL,
  tenant_id TEXT NOT NULL,
  last_seq INTEGER NOT NULL,
  first_seq INTEGER NOT NULL,
  keys TEXT NOT NULL,
  PRIMARY KEY (export_of, tenant_id, last_seq)
) STRICT, WITHOUT ROWID;

-- What a meter elsewhere has not yet confirmed: one row for each day of a message, made in the commit that moves the cursor
-- past the message and removed when the meter has it. Rows outlive the tenant: they are its bill.
CREATE TABLE usage_charges (
  -- What the meter tells repetitions by.
  identifier TEXT PRIMARY KEY,
  tenant_id TEXT NOT NULL,
  customer TEXT NOT NULL,
  day TEXT NOT NULL,
  amount_micros INTEGER NOT NULL CHECK (amount_micros > 0),
  -- The time that the meter is told.
  timestamp_ms INTEGER NOT NULL,
  made_at_ms INTEGER NOT NULL,
  tries INTEGER NOT NULL DEFAULT 0,
  -- Since when a request may have arrived whose answer nobody saw; null when it certainly did not.
  unsure_since_ms INTEGER,
  -- When it was given up until an operator decides; null while it is on its way.
  set_aside_at_ms INTEGER,
  reason TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX usage_charges_waiting ON usage_charges (tenant_id, tries, made_at_ms) WHERE set_aside_at_ms IS NULL;
CREATE INDEX usage_charges_aside ON usage_charges (tenant_id, set_aside_at_ms) WHERE set_aside_at_ms IS NOT NULL;
