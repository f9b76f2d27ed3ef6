-- A day of storage is a usage event like others (kind 'tool', channel 'storage', which no message can have; its call_id
-- is the number of bytes), so that roll-ups, statements and exports have it. It is no call of a tool, and its ledger line
-- has the source 'storage' and the day as its id.

DROP VIEW usage_facts;

CREATE VIEW usage_facts AS
SELECT seq, at_ms / 900000 AS slot, at_ms, day,
  agent_id, session_key, session_id, user_id, channel, provider, model, tool_name,
  kind = 'model' AS model_calls,
  kind = 'tool' AND channel <> 'storage' AS tool_calls,
  user_messages, assistant_messages, is_error AS errors,
  input_tokens, output_tokens, cache_read_tokens, cache_write_tokens,
  input_cost_micros, output_cost_micros, cache_read_cost_micros, cache_write_cost_micros, cost_micros,
  CASE key_owner WHEN 'platform' THEN cost_micros ELSE 0 END AS platform_cost_micros,
  kind = 'model' AND NOT is_exact AS estimated_calls,
  is_cost_missing AS missing_costs
FROM usage_events;

DROP TRIGGER usage_events_settle;

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
    iif(NEW.channel = 'storage',
      json_object('usage', NEW.seq, 'bytes', CAST(NEW.call_id AS INTEGER), 'price', NEW.price_origin),
      json_object('usage', NEW.seq, 'provider', NEW.provider, 'model', NEW.model, 'price', NEW.price_origin))
  WHERE NEW.cost_micros > 0 AND NEW.key_owner <> 'tenant' AND NOT EXISTS (SELECT 1 FROM reservations
    WHERE NEW.kind = 'model' AND run_id = NEW.run_id AND step = NEW.step AND ordinal = NEW.ordinal
      AND state = 'open');
  UPDATE reservations SET state = 'settled',
    settled_micros = min(amount_micros, iif(NEW.key_owner = 'tenant', 0, NEW.cost_micros)),
    overrun_micros = min(1000000000000000, max(0, iif(NEW.key_owner = 'tenant', 0, NEW.cost_micros) - amount_micros)),
    ended_at_ms = NEW.at_ms
  WHERE NEW.kind = 'model' AND run_id = NEW.run_id AND step = NEW.step AND ordinal = NEW.ordinal AND state = 'open';
END;
