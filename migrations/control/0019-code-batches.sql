-- Codes that were made together, by the name that whoever asked for them gave: the same name makes codes once, and what was
-- made by it can be voided, also when the answer with the codes was lost.

CREATE TABLE code_batches (
  id TEXT PRIMARY KEY,
  made_at_ms INTEGER NOT NULL,
  made_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Null for codes that are older than this.
ALTER TABLE redemption_codes ADD COLUMN batch TEXT;

CREATE INDEX redemption_codes_by_batch ON redemption_codes (batch) WHERE batch IS NOT NULL;
