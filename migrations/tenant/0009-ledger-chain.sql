-- Each line of the ledger holds a hash of itself and of the line before it, so that a line that was changed, dropped, moved
-- or put in behind the program's back is found (docs/decisions/0029-ledger-chain.md). Hashes are made by the transaction
-- that adds the line, whoever adds it.

CREATE TABLE ledger_hashes (
  seq INTEGER PRIMARY KEY,
  -- SHA-256: of the line before, or for the first the chain's origin; and of this line.
  prev_hash BLOB NOT NULL CHECK (length(prev_hash) = 32),
  hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;

-- The last line once more, its hash as lower-case hex: lines taken off the end are missed, and the next one still follows
-- what was there.
CREATE TABLE ledger_end (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  seq INTEGER NOT NULL,
  hash TEXT NOT NULL
) STRICT;

-- Lines that were there before, chained in their order.
INSERT INTO ledger_hashes
WITH RECURSIVE walk (seq, prev, hash) AS (
  SELECT 0, '', sha256_json('creel.ledger.1', (SELECT owner FROM file_owner))
  UNION ALL
  SELECT t.seq, w.hash, sha256_json('creel.ledger.1', t.seq, t.source, t.source_id, t.ordinal, t.kind, t.from_account,
    t.to_account, t.amount_micros, t.at_ms, t.period, t.run_id, t.user_id, t.agent_id, t.key_id, t.linked_to, t.details,
    w.hash)
  FROM walk w JOIN ledger_transfers t ON t.seq = (SELECT min(seq) FROM ledger_transfers WHERE seq > w.seq))
SELECT seq, unhex(prev), unhex(hash) FROM walk WHERE seq > 0;

INSERT INTO ledger_end SELECT 1, seq, lower(hex(hash)) FROM ledger_hashes ORDER BY seq DESC LIMIT 1;

CREATE TRIGGER ledger_hashes_in_order BEFORE INSERT ON ledger_hashes
WHEN NEW.seq <= coalesce((SELECT seq FROM ledger_end), 0)
  OR lower(hex(NEW.prev_hash)) <> coalesce((SELECT hash FROM ledger_end), lower(hex(NEW.prev_hash)))
BEGIN
  SELECT RAISE(ABORT, 'ledger lines follow one another');
END;

CREATE TRIGGER ledger_hashes_end AFTER INSERT ON ledger_hashes
BEGIN
  INSERT INTO ledger_end VALUES (1, NEW.seq, lower(hex(NEW.hash)))
    ON CONFLICT (one) DO UPDATE SET seq = excluded.seq, hash = excluded.hash;
END;

CREATE TRIGGER ledger_hashes_no_update BEFORE UPDATE ON ledger_hashes
BEGIN
  SELECT RAISE(ABORT, 'hashes of ledger lines never change');
END;

CREATE TRIGGER ledger_hashes_no_delete BEFORE DELETE ON ledger_hashes
BEGIN
  SELECT RAISE(ABORT, 'hashes of ledger lines are never removed');
END;

CREATE TRIGGER ledger_end_forward BEFORE UPDATE ON ledger_end WHEN NEW.seq <= OLD.seq
BEGIN
  SELECT RAISE(ABORT, 'the end of the ledger only moves on');
END;

CREATE TRIGGER ledger_end_no_delete BEFORE DELETE ON ledger_end
BEGIN
  SELECT RAISE(ABORT, 'the end of the ledger only moves on');
END;

-- EVERY WRITING CONNECTION
-- Nothing but the trigger is there; SQLite would set 80 KiB aside for each file.
PRAGMA temp.cache_size = 2;
CREATE TEMP TRIGGER ledger_chain AFTER INSERT ON main.ledger_transfers
BEGIN
  INSERT INTO ledger_hashes
  SELECT NEW.seq, unhex(e.prev), unhex(sha256_json('creel.ledger.1', NEW.seq, NEW.source, NEW.source_id, NEW.ordinal,
    NEW.kind, NEW.from_account, NEW.to_account, NEW.amount_micros, NEW.at_ms, NEW.period, NEW.run_id, NEW.user_id,
    NEW.agent_id, NEW.key_id, NEW.linked_to, NEW.details, e.prev))
  FROM (SELECT coalesce((SELECT hash FROM ledger_end),
    sha256_json('creel.ledger.1', (SELECT owner FROM file_owner))) AS prev) AS e;
END;
