-- What is left of credit, grant by grant: which of it ends when, and what calls hold of it. It follows from the lines of
-- the ledger in the transaction that adds them, and `creel billing verify` computes it again.

CREATE TABLE credit_lots (
  -- The line that gave it.
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  -- 9007199254740991 never.
  ends_at_ms INTEGER NOT NULL,
  left_micros INTEGER NOT NULL CHECK (left_micros >= 0)
) STRICT;

CREATE INDEX credit_lots_left ON credit_lots (ends_at_ms, seq, left_micros) WHERE left_micros > 0;

-- What was taken for calls and may come back, as a pile: the latest on top, which comes back first. Each piece lies
-- between upto_micros - micros and upto_micros, so that pieces need not be added up. What lies deeper than all open
-- reservations together never comes back, and is dropped.
CREATE TABLE credit_taken (
  upto_micros INTEGER PRIMARY KEY,
  lot INTEGER NOT NULL,
  micros INTEGER NOT NULL CHECK (micros > 0)
) STRICT;

CREATE INDEX credit_taken_by_lot ON credit_taken (lot);

-- Lines about credit. Only they are looked at when what is left is computed again.
CREATE INDEX ledger_transfers_of_credit ON ledger_transfers (seq) WHERE from_account = 'credit' OR to_account = 'credit';
-- What answers a line.
CREATE INDEX ledger_transfers_by_link ON ledger_transfers (linked_to) WHERE kind = 'adjust';

-- The balance of `credit`, with the lots in step: no trigger has to run before or after another.
CREATE TABLE credit_sum (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  balance_micros INTEGER NOT NULL
) STRICT;

INSERT INTO credit_sum VALUES (1, 0);

-- One line about credit.
CREATE VIEW credit_moves AS
SELECT 0 AS seq, '' AS id, '' AS kind, '' AS from_account, '' AS to_account, 0 AS micros, 0 AS at_ms, 0 AS ends_at_ms,
  '' AS linked_to
WHERE 0;

CREATE TRIGGER credit_moves_apply INSTEAD OF INSERT ON credit_moves
BEGIN
  UPDATE credit_sum SET balance_micros = balance_micros + iif(NEW.to_account = 'credit', NEW.micros, -NEW.micros);
  INSERT INTO credit_lots SELECT NEW.seq, NEW.id, NEW.ends_at_ms, NEW.micros
  WHERE NEW.to_account = 'credit' AND NEW.from_account <> 'reserved';

  -- What comes back goes where the latest was taken from.
  UPDATE credit_lots SET left_micros = left_micros + part.micros
  FROM (SELECT t.lot, sum(t.upto_micros - max(t.upto_micros - t.micros, rest.height)) AS micros
    FROM (SELECT max(upto_micros) - NEW.micros AS height FROM credit_taken) AS rest JOIN credit_taken t
      ON t.upto_micros > rest.height
    GROUP BY t.lot) AS part
  WHERE credit_lots.seq = part.lot AND NEW.from_account = 'reserved';
  -- ORDER: the piece that is cut leaves its lower part, then everything above goes.
  INSERT INTO credit_taken
  SELECT rest.height, t.lot, t.micros - (t.upto_micros - rest.height)
  FROM (SELECT max(upto_micros) - NEW.micros AS height FROM credit_taken) AS rest JOIN credit_taken t
    ON t.upto_micros > rest.height AND t.upto_micros - t.micros < rest.height
  WHERE NEW.from_account = 'reserved';
  DELETE FROM credit_taken
  WHERE NEW.from_account = 'reserved' AND upto_micros > (SELECT max(upto_micros) - NEW.micros FROM credit_taken);

  -- What ended, or is taken back, is taken from its own lot first.
  UPDATE credit_lots SET left_micros = left_micros - min(left_micros, NEW.micros)
  WHERE NEW.from_account = 'credit' AND NEW.kind IN ('expire', 'adjust') AND id = NEW.linked_to;

  -- Whatever else the lots have above the balance is used: of what ends soonest first, and last of what has ended. So
  -- credit that comes in while the balance is below zero fills that first.
  INSERT INTO credit_taken
  SELECT pile.height + min(lots.upto, pile.wanted), lots.seq, min(lots.left_micros, pile.wanted - (lots.upto - lots.left_micros))
  FROM (SELECT (SELECT coalesce(sum(left_micros), 0) FROM credit_lots WHERE left_micros > 0) - max(0, (SELECT balance_micros FROM credit_sum))
        AS wanted,
      coalesce((SELECT max(upto_micros) FROM credit_taken), 0) AS height) AS pile
    JOIN (SELECT seq, left_micros, sum(left_micros) OVER (ORDER BY ends_at_ms <= NEW.at_ms, ends_at_ms, seq
        ROWS UNBOUNDED PRECEDING) AS upto FROM credit_lots WHERE left_micros > 0) AS lots
      ON lots.upto - lots.left_micros < pile.wanted
  WHERE NEW.to_account = 'reserved';
  UPDATE credit_lots SET left_micros = credit_lots.left_micros - part.micros
  FROM (SELECT lots.seq, min(lots.left_micros, pile.wanted - (lots.upto - lots.left_micros)) AS micros
    FROM (SELECT (SELECT coalesce(sum(left_micros), 0) FROM credit_lots WHERE left_micros > 0) - max(0, (SELECT balance_micros FROM credit_sum))
        AS wanted)
      AS pile
    JOIN (SELECT seq, left_micros, sum(left_micros) OVER (ORDER BY ends_at_ms <= NEW.at_ms, ends_at_ms, seq
        ROWS UNBOUNDED PRECEDING) AS upto FROM credit_lots WHERE left_micros > 0) AS lots
      ON lots.upto - lots.left_micros < pile.wanted) AS part
  WHERE credit_lots.seq = part.seq;
END;

-- Lines that were there before, in their order.
INSERT INTO credit_moves
SELECT seq, source || ':' || source_id || ':' || ordinal, kind, from_account, to_account, amount_micros, at_ms,
  coalesce(details ->> 'expiresAtMs', 9007199254740991), linked_to
FROM ledger_transfers WHERE from_account = 'credit' OR to_account = 'credit' ORDER BY seq;

CREATE TRIGGER ledger_transfers_lots AFTER INSERT ON ledger_transfers
WHEN NEW.from_account = 'credit' OR NEW.to_account = 'credit'
BEGIN
  INSERT INTO credit_moves VALUES (NEW.seq, NEW.source || ':' || NEW.source_id || ':' || NEW.ordinal, NEW.kind,
    NEW.from_account, NEW.to_account, NEW.amount_micros, NEW.at_ms,
    coalesce(NEW.details ->> 'expiresAtMs', 9007199254740991), NEW.linked_to);
  -- Between calls: what ended before this one began has come back by now, as far as it does.
  DELETE FROM credit_taken
  WHERE NEW.kind = 'reserve' AND upto_micros <= (SELECT max(upto_micros) FROM credit_taken)
    - (SELECT coalesce(sum(from_credit_micros), 0) FROM reservations WHERE state = 'open');
END;
