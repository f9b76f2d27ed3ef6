-- A counter is there for every month and for all time of the organization and of each person, agent and key that a line
-- counts for, whether or not it has a budget: what was spent is read and never summed, however many lines there are, a
-- budget that is set late finds its counter, and a month without a counter is one without lines.

DROP VIEW budget_counters_true;

-- All counters there should be. Every line is read once.
CREATE VIEW budget_counters_true AS
WITH sums AS MATERIALIZED (
  SELECT period, user_id, agent_id, key_id, sum(spent_micros) AS spent, sum(reserved_micros) AS reserved
  FROM ledger_counts GROUP BY period, user_id, agent_id, key_id),
counted AS MATERIALIZED (
  SELECT 'tenant' AS scope, '' AS scope_id, period, sum(spent) AS spent, sum(reserved) AS reserved FROM sums GROUP BY period
  UNION ALL SELECT 'user', user_id, period, sum(spent), sum(reserved) FROM sums WHERE user_id <> '' GROUP BY user_id, period
  UNION ALL SELECT 'agent', agent_id, period, sum(spent), sum(reserved) FROM sums WHERE agent_id <> ''
    GROUP BY agent_id, period
  UNION ALL SELECT 'key', key_id, period, sum(spent), sum(reserved) FROM sums WHERE key_id <> '' GROUP BY key_id, period)
SELECT scope, scope_id, period, spent AS spent_micros, reserved AS reserved_micros FROM counted
UNION ALL SELECT scope, scope_id, 'total', sum(spent), sum(reserved) FROM counted GROUP BY scope, scope_id;

-- One that is there already was kept by the lines, and stays: a difference is for `creel billing verify` to name.
INSERT INTO budget_counters SELECT scope, scope_id, period, spent_micros, reserved_micros FROM budget_counters_true
  WHERE true ON CONFLICT DO NOTHING;

DROP TRIGGER ledger_transfers_project;

CREATE TRIGGER ledger_transfers_project AFTER INSERT ON ledger_transfers
BEGIN
  INSERT INTO ledger_balances VALUES (NEW.from_account, -NEW.amount_micros)
    ON CONFLICT DO UPDATE SET balance_micros = balance_micros + excluded.balance_micros;
  INSERT INTO ledger_balances VALUES (NEW.to_account, NEW.amount_micros)
    ON CONFLICT DO UPDATE SET balance_micros = balance_micros + excluded.balance_micros;
  INSERT INTO budget_counters
  SELECT whose.scope, whose.id, spans.period, n.spent_micros, n.reserved_micros
  FROM ledger_counts n
  CROSS JOIN (SELECT 'tenant' AS scope, '' AS id UNION ALL SELECT 'user', NEW.user_id UNION ALL SELECT 'agent', NEW.agent_id
    UNION ALL SELECT 'key', NEW.key_id) AS whose
  CROSS JOIN (SELECT NEW.period AS period UNION ALL SELECT 'total') AS spans
  WHERE n.seq = NEW.seq AND (whose.scope = 'tenant' OR whose.id <> '')
  ON CONFLICT DO UPDATE SET spent_micros = spent_micros + excluded.spent_micros,
    reserved_micros = reserved_micros + excluded.reserved_micros;
END;

-- Lines of one kind, in order.
CREATE INDEX ledger_transfers_by_kind ON ledger_transfers (kind);
