-- The tenant's money. Lines are transfers, each from one account to another, so that all accounts together are always
-- zero; a line never changes and never goes. Balances and the counters of budgets follow by triggers in the same
-- transaction and can be recomputed from the lines (views *_true). docs/billing.md explains the accounts.

CREATE TABLE ledger_transfers (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT GENERATED ALWAYS AS (source || ':' || source_id || ':' || ordinal) VIRTUAL,
  -- What made the line: 'call' a model or tool call, else a payment, a code, an operator's act …; once for ever.
  source TEXT NOT NULL CHECK (source <> ''),
  source_id TEXT NOT NULL CHECK (source_id <> ''),
  ordinal INTEGER NOT NULL CHECK (ordinal >= 0),
  kind TEXT NOT NULL CHECK (kind IN ('reserve', 'settle', 'release', 'overrun', 'charge', 'top_up', 'grant', 'redeem',
    'expire', 'adjust', 'refund')),
  from_account TEXT NOT NULL CHECK (from_account <> ''),
  to_account TEXT NOT NULL CHECK (to_account <> ''),
  amount_micros INTEGER NOT NULL CHECK (amount_micros BETWEEN 1 AND 1000000000000000),
  at_ms INTEGER NOT NULL CHECK (at_ms >= 0),
  -- The tenant's calendar month that the line counts for, 'YYYY-MM'.
  period TEXT NOT NULL CHECK (period GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]'),
  -- Whose budgets it counts for; empty for lines that come from no call.
  run_id TEXT NOT NULL DEFAULT '',
  user_id TEXT NOT NULL DEFAULT '',
  agent_id TEXT NOT NULL DEFAULT '',
  key_id TEXT NOT NULL DEFAULT '',
  -- The line that this one answers, by its id.
  linked_to TEXT,
  details TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(details)),
  UNIQUE (source, source_id, ordinal),
  CHECK (from_account <> to_account)
) STRICT;

CREATE INDEX ledger_transfers_by_run ON ledger_transfers (run_id) WHERE run_id <> '';
CREATE INDEX ledger_transfers_by_period ON ledger_transfers (period);

CREATE TABLE ledger_balances (
  account TEXT PRIMARY KEY,
  balance_micros INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Limits that people set. The plan's own monthly limit is not here: the plan says it.
CREATE TABLE budgets (
  scope TEXT NOT NULL CHECK (scope IN ('tenant', 'user', 'agent', 'key')),
  -- Empty for the tenant.
  scope_id TEXT NOT NULL CHECK ((scope = 'tenant') = (scope_id = '')),
  period TEXT NOT NULL CHECK (period IN ('month', 'total')),
  limit_micros INTEGER NOT NULL CHECK (limit_micros >= 0),
  set_at_ms INTEGER NOT NULL,
  PRIMARY KEY (scope, scope_id, period)
) STRICT, WITHOUT ROWID;

-- What counts against each budget; period is a month or 'total'.
CREATE TABLE budget_counters (
  scope TEXT NOT NULL,
  scope_id TEXT NOT NULL,
  period TEXT NOT NULL,
  spent_micros INTEGER NOT NULL,
  reserved_micros INTEGER NOT NULL,
  PRIMARY KEY (scope, scope_id, period)
) STRICT, WITHOUT ROWID;

-- What a model call may cost at most, held back while it goes on. Told apart like the usage event that settles it.
CREATE TABLE reservations (
  run_id TEXT NOT NULL,
  step INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('open', 'settled', 'released')),
  amount_micros INTEGER NOT NULL CHECK (amount_micros > 0),
  -- Where it was taken from; both together are the amount.
  from_budget_micros INTEGER NOT NULL CHECK (from_budget_micros >= 0),
  from_credit_micros INTEGER NOT NULL CHECK (from_credit_micros >= 0),
  settled_micros INTEGER NOT NULL DEFAULT 0 CHECK (settled_micros BETWEEN 0 AND amount_micros),
  overrun_micros INTEGER NOT NULL DEFAULT 0 CHECK (overrun_micros >= 0),
  period TEXT NOT NULL,
  user_id TEXT NOT NULL,
  agent_id TEXT NOT NULL,
  key_id TEXT NOT NULL,
  provider TEXT NOT NULL,
  model TEXT NOT NULL,
  price_origin TEXT NOT NULL,
  made_at_ms INTEGER NOT NULL,
  lease_until_ms INTEGER NOT NULL,
  ended_at_ms INTEGER,
  PRIMARY KEY (run_id, step, ordinal),
  CHECK (amount_micros = from_budget_micros + from_credit_micros)
) STRICT, WITHOUT ROWID;

CREATE INDEX reservations_open ON reservations (lease_until_ms) WHERE state = 'open';

-- Calls before this number were counted when there was no ledger, and have no lines.
CREATE TABLE ledger_start (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  usage_seq INTEGER NOT NULL
) STRICT;

INSERT INTO ledger_start SELECT 1, coalesce(max(seq), 0) FROM usage_events;

-- What a line does to counters. Lines of other kinds are no spending.
CREATE VIEW ledger_counts AS
SELECT seq, period, user_id, agent_id, key_id,
  CASE kind WHEN 'reserve' THEN amount_micros WHEN 'settle' THEN -amount_micros WHEN 'release' THEN -amount_micros
    ELSE 0 END AS reserved_micros,
  CASE kind WHEN 'settle' THEN amount_micros WHEN 'charge' THEN amount_micros ELSE 0 END AS spent_micros
FROM ledger_transfers
WHERE kind IN ('reserve', 'settle', 'release', 'charge');

CREATE VIEW ledger_balances_true AS
SELECT account, sum(micros) AS balance_micros FROM (
  SELECT from_account AS account, -amount_micros AS micros FROM ledger_transfers
  UNION ALL SELECT to_account, amount_micros FROM ledger_transfers)
GROUP BY account;

-- Every line is read four times, whatever the number of budgets.
CREATE VIEW budget_counters_true AS
WITH sums AS (
  SELECT 'tenant' AS scope, '' AS scope_id, period, sum(spent_micros) AS spent_micros,
    sum(reserved_micros) AS reserved_micros FROM ledger_counts GROUP BY period
  UNION ALL SELECT 'user', user_id, period, sum(spent_micros), sum(reserved_micros)
    FROM ledger_counts GROUP BY user_id, period
  UNION ALL SELECT 'agent', agent_id, period, sum(spent_micros), sum(reserved_micros)
    FROM ledger_counts GROUP BY agent_id, period
  UNION ALL SELECT 'key', key_id, period, sum(spent_micros), sum(reserved_micros)
    FROM ledger_counts GROUP BY key_id, period),
counted AS (
  SELECT * FROM sums
  UNION ALL SELECT scope, scope_id, 'total', sum(spent_micros), sum(reserved_micros) FROM sums GROUP BY scope, scope_id)
SELECT c.scope, c.scope_id, c.period, coalesce(n.spent_micros, 0) AS spent_micros,
  coalesce(n.reserved_micros, 0) AS reserved_micros
FROM budget_counters c LEFT JOIN counted n
  ON n.scope = c.scope AND n.scope_id = c.scope_id AND n.period = c.period;

CREATE TRIGGER ledger_transfers_no_update BEFORE UPDATE ON ledger_transfers
BEGIN
  SELECT RAISE(ABORT, 'ledger lines never change');
END;

CREATE TRIGGER ledger_transfers_no_delete BEFORE DELETE ON ledger_transfers
BEGIN
  SELECT RAISE(ABORT, 'ledger lines are never removed');
END;

-- A line that is there stays, also against INSERT OR REPLACE, which removes without the trigger above.
CREATE TRIGGER ledger_transfers_once BEFORE INSERT ON ledger_transfers
BEGIN
  SELECT RAISE(ABORT, 'ledger lines never change') WHERE EXISTS (SELECT 1 FROM ledger_transfers WHERE seq = NEW.seq);
  SELECT RAISE(IGNORE) WHERE EXISTS (SELECT 1 FROM ledger_transfers
    WHERE source = NEW.source AND source_id = NEW.source_id AND ordinal = NEW.ordinal);
END;

CREATE TRIGGER ledger_transfers_project AFTER INSERT ON ledger_transfers
BEGIN
  INSERT INTO ledger_balances VALUES (NEW.from_account, -NEW.amount_micros)
    ON CONFLICT DO UPDATE SET balance_micros = balance_micros + excluded.balance_micros;
  INSERT INTO ledger_balances VALUES (NEW.to_account, NEW.amount_micros)
    ON CONFLICT DO UPDATE SET balance_micros = balance_micros + excluded.balance_micros;
  UPDATE budget_counters SET
    spent_micros = spent_micros + (SELECT n.spent_micros FROM ledger_counts n WHERE n.seq = NEW.seq),
    reserved_micros = reserved_micros + (SELECT n.reserved_micros FROM ledger_counts n WHERE n.seq = NEW.seq)
  WHERE NEW.kind IN ('reserve', 'settle', 'release', 'charge') AND (scope, scope_id, period) IN (VALUES
    ('tenant', '', NEW.period), ('tenant', '', 'total'),
    ('user', NEW.user_id, NEW.period), ('user', NEW.user_id, 'total'),
    ('agent', NEW.agent_id, NEW.period), ('agent', NEW.agent_id, 'total'),
    ('key', NEW.key_id, NEW.period), ('key', NEW.key_id, 'total'));
END;

CREATE TRIGGER reservations_begin AFTER INSERT ON reservations
BEGIN
  INSERT INTO ledger_transfers (source, source_id, ordinal, kind, from_account, to_account, amount_micros, at_ms,
    period, run_id, user_id, agent_id, key_id, linked_to, details)
  SELECT 'call', NEW.run_id || '/' || NEW.step || '/' || NEW.ordinal, part.ordinal, 'reserve', part.account, 'reserved',
    part.micros, NEW.made_at_ms, NEW.period, NEW.run_id, NEW.user_id, NEW.agent_id, NEW.key_id, NULL,
    json_object('provider', NEW.provider, 'model', NEW.model, 'price', NEW.price_origin)
  FROM (SELECT 0 AS ordinal, 'budget:tenant:' || NEW.period AS account, NEW.from_budget_micros AS micros
    UNION ALL SELECT 1, 'credit', NEW.from_credit_micros) AS part
  WHERE part.micros > 0;
END;

CREATE TRIGGER reservations_final BEFORE UPDATE ON reservations
WHEN OLD.state <> 'open' OR NEW.amount_micros <> OLD.amount_micros
  OR NEW.from_budget_micros <> OLD.from_budget_micros OR NEW.period <> OLD.period
BEGIN
  SELECT RAISE(ABORT, 'a reservation ends once');
END;

CREATE TRIGGER reservations_no_delete BEFORE DELETE ON reservations
BEGIN
  SELECT RAISE(ABORT, 'reservations are never removed');
END;

-- The end of a reservation: what was used is spent, the rest goes back where it came from, credit first. What the
-- provider counted above the reservation is not the tenant's: it is booked as absorbed.
CREATE TRIGGER reservations_end AFTER UPDATE OF state ON reservations
WHEN OLD.state = 'open' AND NEW.state <> 'open'
BEGIN
  INSERT INTO ledger_transfers (source, source_id, ordinal, kind, from_account, to_account, amount_micros, at_ms,
    period, run_id, user_id, agent_id, key_id, linked_to, details)
  SELECT 'call', NEW.run_id || '/' || NEW.step || '/' || NEW.ordinal, part.ordinal, part.kind, part.source,
    part.target, part.micros, coalesce(NEW.ended_at_ms, NEW.made_at_ms), NEW.period, NEW.run_id, NEW.user_id,
    NEW.agent_id, NEW.key_id,
    'call:' || NEW.run_id || '/' || NEW.step || '/' || NEW.ordinal || ':' || (NEW.from_budget_micros = 0),
    json_object('provider', NEW.provider, 'model', NEW.model)
  FROM (
    SELECT 2 AS ordinal, 'settle' AS kind, 'reserved' AS source, 'spent' AS target, NEW.settled_micros AS micros
    UNION ALL SELECT 3, 'release', 'reserved', 'credit',
      min(NEW.amount_micros - NEW.settled_micros, NEW.from_credit_micros)
    UNION ALL SELECT 4, 'release', 'reserved', 'budget:tenant:' || NEW.period,
      NEW.amount_micros - NEW.settled_micros
        - min(NEW.amount_micros - NEW.settled_micros, NEW.from_credit_micros)
    UNION ALL SELECT 5, 'overrun', 'overrun', 'absorbed', NEW.overrun_micros) AS part
  WHERE part.micros > 0;
END;

-- Metering is settling: the usage event that is stored with the message ends the reservation of its call, or, where
-- no budget applied, charges it. Runs only for events that were really inserted, so each call is paid for once. Calls
-- with the tenant's own key cost nothing here.
CREATE TRIGGER usage_events_settle AFTER INSERT ON usage_events
WHEN NEW.kind = 'model' OR NEW.cost_micros > 0
BEGIN
  INSERT INTO ledger_transfers (source, source_id, ordinal, kind, from_account, to_account, amount_micros, at_ms,
    period, run_id, user_id, agent_id, key_id, linked_to, details)
  SELECT iif(NEW.kind = 'model', 'call', 'tool'), NEW.run_id || '/' || NEW.step || '/' || NEW.ordinal, 6, 'charge',
    'budget:tenant:' || substr(NEW.day, 1, 7), 'spent', min(NEW.cost_micros, 1000000000000000), NEW.at_ms,
    substr(NEW.day, 1, 7), NEW.run_id, NEW.user_id, NEW.agent_id,
    coalesce((SELECT json_extract(settings, '$.by.id') FROM runs WHERE run_id = NEW.run_id), ''), NULL,
    json_object('usage', NEW.seq, 'provider', NEW.provider, 'model', NEW.model, 'price', NEW.price_origin)
  WHERE NEW.cost_micros > 0 AND NEW.key_owner <> 'tenant' AND NOT EXISTS (SELECT 1 FROM reservations
    WHERE NEW.kind = 'model' AND run_id = NEW.run_id AND step = NEW.step AND ordinal = NEW.ordinal
      AND state = 'open');
  UPDATE reservations SET state = 'settled',
    settled_micros = min(amount_micros, iif(NEW.key_owner = 'tenant', 0, NEW.cost_micros)),
    overrun_micros = min(1000000000000000, max(0, iif(NEW.key_owner = 'tenant', 0, NEW.cost_micros) - amount_micros)),
    ended_at_ms = NEW.at_ms
  WHERE NEW.kind = 'model' AND run_id = NEW.run_id AND step = NEW.step AND ordinal = NEW.ordinal AND state = 'open';
END;
