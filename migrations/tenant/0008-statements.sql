-- Monthly statements. A closed month holds the events of its days that were there when it was closed; whatever comes
-- later for its days is a line of the next month that is still open. Nothing here is ever changed.

CREATE INDEX usage_events_by_day ON usage_events (day, seq);

CREATE TABLE statements (
  month TEXT PRIMARY KEY CHECK (month GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]'),
  currency TEXT NOT NULL,
  -- The tenant's zone when the month was closed; each event keeps the day that it had in the zone of its time.
  time_zone TEXT NOT NULL,
  plan TEXT NOT NULL,
  closed_at_ms INTEGER NOT NULL,
  -- Newest event that had been counted when the month was closed; never goes back.
  through_seq INTEGER NOT NULL CHECK (through_seq >= 0),
  total_micros INTEGER NOT NULL,
  line_count INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE statement_lines (
  month TEXT NOT NULL,
  ordinal INTEGER NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('usage', 'adjustment')),
  -- The month that the usage belongs to: this one, or for adjustments an earlier one.
  for_month TEXT NOT NULL,
  provider TEXT NOT NULL,
  model TEXT NOT NULL,
  tool_name TEXT NOT NULL,
  -- Which price was applied: 'config', 'free', 'book:<date>' or 'unknown', and more as prices have it.
  price_version TEXT NOT NULL,
  key_owner TEXT NOT NULL,
  calls INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  cache_read_tokens INTEGER NOT NULL,
  cache_write_tokens INTEGER NOT NULL,
  estimated_calls INTEGER NOT NULL,
  -- What the usage is worth at its price, and what of it is charged: nothing where the tenant brought the key.
  cost_micros INTEGER NOT NULL,
  charged_micros INTEGER NOT NULL,
  PRIMARY KEY (month, ordinal)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER statement_lines_closed BEFORE INSERT ON statement_lines
WHEN EXISTS (SELECT 1 FROM statements WHERE month = NEW.month)
BEGIN
  SELECT RAISE(ABORT, 'a closed month never changes');
END;

CREATE TRIGGER statements_in_order BEFORE INSERT ON statements
WHEN EXISTS (SELECT 1 FROM statements WHERE month >= NEW.month OR through_seq > NEW.through_seq)
BEGIN
  SELECT RAISE(ABORT, 'months are closed one after another');
END;

CREATE TRIGGER statements_no_update BEFORE UPDATE ON statements
BEGIN
  SELECT RAISE(ABORT, 'a closed month never changes');
END;

CREATE TRIGGER statements_no_delete BEFORE DELETE ON statements
BEGIN
  SELECT RAISE(ABORT, 'a closed month never changes');
END;

CREATE TRIGGER statement_lines_no_update BEFORE UPDATE ON statement_lines
BEGIN
  SELECT RAISE(ABORT, 'a closed month never changes');
END;

CREATE TRIGGER statement_lines_no_delete BEFORE DELETE ON statement_lines
BEGIN
  SELECT RAISE(ABORT, 'a closed month never changes');
END;
