-- A call of a tool that has a price holds the price back before it begins, against the same budgets and credit as a call
-- of a model, and is settled by the usage event that is stored with its result.

-- Empty for a model's call. Calls of tools are numbered from 2 on within a step, after a turn (0) and a summary (1).
ALTER TABLE reservations ADD COLUMN tool_name TEXT NOT NULL DEFAULT '' CHECK ((tool_name = '') = (ordinal < 2));

-- Calls that cost nothing though their tool may have a price: refused, failed by themselves, or stopped by us.
CREATE INDEX usage_events_uncharged ON usage_events (at_ms, tool_name) WHERE price_origin = 'uncharged';

DROP TRIGGER reservations_begin;

CREATE TRIGGER reservations_begin AFTER INSERT ON reservations
BEGIN
  INSERT INTO ledger_transfers (source, source_id, ordinal, kind, from_account, to_account, amount_micros, at_ms,
    period, run_id, user_id, agent_id, key_id, linked_to, details)
  SELECT iif(NEW.tool_name = '', 'call', 'tool'), NEW.run_id || '/' || NEW.step || '/' || NEW.ordinal, part.ordinal,
    'reserve', part.account, 'reserved', part.micros, NEW.made_at_ms, NEW.period, NEW.run_id, NEW.user_id, NEW.agent_id,
    NEW.key_id, NULL,
    iif(NEW.tool_name = '', json_object('provider', NEW.provider, 'model', NEW.model, 'price', NEW.price_origin),
      json_object('tool', NEW.tool_name, 'price', NEW.price_origin))
  FROM (SELECT 0 AS ordinal, 'budget:tenant:' || NEW.period AS account, NEW.from_budget_micros AS micros
    UNION ALL SELECT 1, 'credit', NEW.from_credit_micros) AS part
  WHERE part.micros > 0;
END;

DROP TRIGGER reservations_end;

CREATE TRIGGER reservations_end AFTER UPDATE OF state ON reservations
WHEN OLD.state = 'open' AND NEW.state <> 'open'
BEGIN
  INSERT INTO ledger_transfers (source, source_id, ordinal, kind, from_account, to_account, amount_micros, at_ms,
    period, run_id, user_id, agent_id, key_id, linked_to, details)
  SELECT call.source, call.id, part.ordinal, part.kind, part.source, part.target, part.micros,
    coalesce(NEW.ended_at_ms, NEW.made_at_ms), NEW.period, NEW.run_id, NEW.user_id, NEW.agent_id, NEW.key_id,
    call.source || ':' || call.id || ':' || (NEW.from_budget_micros = 0),
    iif(NEW.tool_name = '', json_object('provider', NEW.provider, 'model', NEW.model), json_object('tool', NEW.tool_name))
  FROM (SELECT iif(NEW.tool_name = '', 'call', 'tool') AS source,
    NEW.run_id || '/' || NEW.step || '/' || NEW.ordinal AS id) AS call
  CROSS JOIN (
    SELECT 2 AS ordinal, 'settle' AS kind, 'reserved' AS source, 'spent' AS target, NEW.settled_micros AS micros
    UNION ALL SELECT 3, 'release', 'reserved', 'credit',
      min(NEW.amount_micros - NEW.settled_micros, NEW.from_credit_micros)
    UNION ALL SELECT 4, 'release', 'reserved', 'budget:tenant:' || NEW.period,
      NEW.amount_micros - NEW.settled_micros
        - min(NEW.amount_micros - NEW.settled_micros, NEW.from_credit_micros)
    UNION ALL SELECT 5, 'overrun', 'overrun', 'absorbed', NEW.overrun_micros) AS part
  WHERE part.micros > 0;
END;

DROP TRIGGER usage_events_settle;

-- As before; calls of tools too settle what was held back for them. A day of storage holds nothing back.
CREATE TRIGGER usage_events_settle AFTER INSERT ON usage_events
WHEN NEW.kind = 'model' OR NEW.cost_micros > 0
BEGIN
  INSERT INTO ledger_transfers (source, source_id, ordinal, kind, from_account, to_account, amount_micros, at_ms,
    period, run_id, user_id, agent_id, key_id, linked_to, details)
  SELECT CASE WHEN NEW.channel = 'storage' THEN 'storage' WHEN NEW.kind = 'model' THEN 'call' ELSE 'tool' END,
    iif(NEW.channel = 'storage', NEW.day, NEW.run_id || '/' || NEW.step || '/' || NEW.ordinal), 6, 'charge',
    'budget:tenant:' || substr(NEW.day, 1, 7), 'spent', min(NEW.cost_micros, 1000000000000000), NEW.at_ms,
    substr(NEW.day, 1, 7), iif(NEW.channel = 'storage', '', NEW.run_id), NEW.user_id, NEW.agent_id,
    coalesce((SELECT json_extract(settings, '$.by.id') FROM runs WHERE run_id = NEW.run_id AND NEW.channel <> 'storage'), ''),
    NULL,
    CASE WHEN NEW.channel = 'storage'
        THEN json_object('usage', NEW.seq, 'bytes', CAST(NEW.call_id AS INTEGER), 'price', NEW.price_origin)
      WHEN NEW.kind = 'model'
        THEN json_object('usage', NEW.seq, 'provider', NEW.provider, 'model', NEW.model, 'price', NEW.price_origin)
      ELSE json_object('usage', NEW.seq, 'tool', NEW.tool_name, 'price', NEW.price_origin) END
  WHERE NEW.cost_micros > 0 AND NEW.key_owner <> 'tenant' AND NOT EXISTS (SELECT 1 FROM reservations
    WHERE run_id = NEW.run_id AND step = NEW.step AND ordinal = NEW.ordinal AND state = 'open'
      AND (tool_name = '') = (NEW.kind = 'model'));
  UPDATE reservations SET state = 'settled',
    settled_micros = min(amount_micros, iif(NEW.key_owner = 'tenant', 0, NEW.cost_micros)),
    overrun_micros = min(1000000000000000, max(0, iif(NEW.key_owner = 'tenant', 0, NEW.cost_micros) - amount_micros)),
    ended_at_ms = NEW.at_ms
  WHERE run_id = NEW.run_id AND step = NEW.step AND ordinal = NEW.ordinal AND state = 'open'
    AND (tool_name = '') = (NEW.kind = 'model');
END;
