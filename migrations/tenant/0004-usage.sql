-- What the tenant used. One immutable row per model call and per tool call; everything below it is derived from it
-- by triggers in the same transaction, and can be rebuilt from it (views usage_*_true) with equal results.

CREATE TABLE usage_events (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  tenant_id TEXT NOT NULL,
  run_id TEXT NOT NULL,
  step INTEGER NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('model', 'tool')),
  ordinal INTEGER NOT NULL,
  purpose TEXT NOT NULL CHECK (purpose IN ('turn', 'compaction', 'tool')),
  agent_id TEXT NOT NULL,
  session_key TEXT NOT NULL,
  session_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  channel TEXT NOT NULL,
  provider TEXT NOT NULL,
  model TEXT NOT NULL,
  call_id TEXT NOT NULL,
  tool_name TEXT NOT NULL,
  input_tokens INTEGER NOT NULL CHECK (input_tokens >= 0),
  output_tokens INTEGER NOT NULL CHECK (output_tokens >= 0),
  cache_read_tokens INTEGER NOT NULL CHECK (cache_read_tokens >= 0),
  cache_write_tokens INTEGER NOT NULL CHECK (cache_write_tokens >= 0),
  user_messages INTEGER NOT NULL CHECK (user_messages >= 0),
  assistant_messages INTEGER NOT NULL CHECK (assistant_messages >= 0),
  is_error INTEGER NOT NULL CHECK (is_error IN (0, 1)),
  is_exact INTEGER NOT NULL CHECK (is_exact IN (0, 1)),
  is_cost_missing INTEGER NOT NULL CHECK (is_cost_missing IN (0, 1)),
  input_cost_micros INTEGER NOT NULL CHECK (input_cost_micros >= 0),
  output_cost_micros INTEGER NOT NULL CHECK (output_cost_micros >= 0),
  cache_read_cost_micros INTEGER NOT NULL CHECK (cache_read_cost_micros >= 0),
  cache_write_cost_micros INTEGER NOT NULL CHECK (cache_write_cost_micros >= 0),
  cost_micros INTEGER NOT NULL,
  -- Which price was applied: 'config', 'free', 'book:<date>' or 'unknown'.
  price_origin TEXT NOT NULL,
  key_owner TEXT NOT NULL CHECK (key_owner IN ('tenant', 'platform', 'none')),
  at_ms INTEGER NOT NULL CHECK (at_ms >= 0),
  -- The tenant's calendar day at that time; a later change of the tenant's time zone does not move it.
  day TEXT NOT NULL CHECK (day GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]'),
  UNIQUE (run_id, step, kind, ordinal),
  CHECK (cost_micros = input_cost_micros + output_cost_micros + cache_read_cost_micros + cache_write_cost_micros)
) STRICT;

CREATE INDEX usage_events_by_session ON usage_events (session_id, seq);

CREATE TABLE usage_days (
  day TEXT NOT NULL,
  agent_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  channel TEXT NOT NULL,
  provider TEXT NOT NULL,
  model TEXT NOT NULL,
  model_calls INTEGER NOT NULL,
  tool_calls INTEGER NOT NULL,
  user_messages INTEGER NOT NULL,
  assistant_messages INTEGER NOT NULL,
  errors INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  cache_read_tokens INTEGER NOT NULL,
  cache_write_tokens INTEGER NOT NULL,
  input_cost_micros INTEGER NOT NULL,
  output_cost_micros INTEGER NOT NULL,
  cache_read_cost_micros INTEGER NOT NULL,
  cache_write_cost_micros INTEGER NOT NULL,
  cost_micros INTEGER NOT NULL,
  platform_cost_micros INTEGER NOT NULL,
  estimated_calls INTEGER NOT NULL,
  missing_costs INTEGER NOT NULL,
  PRIMARY KEY (day, agent_id, user_id, channel, provider, model)
) STRICT, WITHOUT ROWID;

-- The same by quarter of an hour of UTC: every time zone in use is a whole number of quarters away from UTC, so days
-- of any zone can be summed from these rows. slot = at_ms / 900000.
CREATE TABLE usage_quarters (
  slot INTEGER NOT NULL,
  agent_id TEXT NOT NULL,
  session_key TEXT NOT NULL,
  session_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  channel TEXT NOT NULL,
  provider TEXT NOT NULL,
  model TEXT NOT NULL,
  tool_name TEXT NOT NULL,
  model_calls INTEGER NOT NULL,
  tool_calls INTEGER NOT NULL,
  user_messages INTEGER NOT NULL,
  assistant_messages INTEGER NOT NULL,
  errors INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  cache_read_tokens INTEGER NOT NULL,
  cache_write_tokens INTEGER NOT NULL,
  input_cost_micros INTEGER NOT NULL,
  output_cost_micros INTEGER NOT NULL,
  cache_read_cost_micros INTEGER NOT NULL,
  cache_write_cost_micros INTEGER NOT NULL,
  cost_micros INTEGER NOT NULL,
  platform_cost_micros INTEGER NOT NULL,
  estimated_calls INTEGER NOT NULL,
  missing_costs INTEGER NOT NULL,
  PRIMARY KEY (slot, agent_id, session_key, session_id, user_id, channel, provider, model, tool_name)
) STRICT, WITHOUT ROWID;

CREATE TABLE usage_sessions (
  session_id TEXT PRIMARY KEY,
  session_key TEXT NOT NULL,
  agent_id TEXT NOT NULL,
  channel TEXT NOT NULL,
  provider TEXT NOT NULL,
  model TEXT NOT NULL,
  first_ms INTEGER NOT NULL,
  last_ms INTEGER NOT NULL,
  model_calls INTEGER NOT NULL,
  tool_calls INTEGER NOT NULL,
  user_messages INTEGER NOT NULL,
  assistant_messages INTEGER NOT NULL,
  errors INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  cache_read_tokens INTEGER NOT NULL,
  cache_write_tokens INTEGER NOT NULL,
  cost_micros INTEGER NOT NULL,
  platform_cost_micros INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX usage_sessions_by_key ON usage_sessions (session_key);

-- Days whose roll-up in control.db may be behind; last_seq is the newest event that made it so.
CREATE TABLE usage_dirty_days (
  day TEXT PRIMARY KEY,
  last_seq INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- An event as the numbers it adds. The triggers and the rebuild both read it, so they cannot disagree.
CREATE VIEW usage_facts AS
SELECT seq, at_ms / 900000 AS slot, at_ms, day,
  agent_id, session_key, session_id, user_id, channel, provider, model, tool_name,
  kind = 'model' AS model_calls,
  kind = 'tool' AS tool_calls,
  user_messages, assistant_messages, is_error AS errors,
  input_tokens, output_tokens, cache_read_tokens, cache_write_tokens,
  input_cost_micros, output_cost_micros, cache_read_cost_micros, cache_write_cost_micros, cost_micros,
  CASE key_owner WHEN 'platform' THEN cost_micros ELSE 0 END AS platform_cost_micros,
  kind = 'model' AND NOT is_exact AS estimated_calls,
  is_cost_missing AS missing_costs
FROM usage_events;

CREATE VIEW usage_days_true AS
SELECT day, agent_id, user_id, channel, provider, model,
  sum(model_calls) AS model_calls, sum(tool_calls) AS tool_calls, sum(user_messages) AS user_messages,
  sum(assistant_messages) AS assistant_messages, sum(errors) AS errors, sum(input_tokens) AS input_tokens,
  sum(output_tokens) AS output_tokens, sum(cache_read_tokens) AS cache_read_tokens,
  sum(cache_write_tokens) AS cache_write_tokens, sum(input_cost_micros) AS input_cost_micros,
  sum(output_cost_micros) AS output_cost_micros, sum(cache_read_cost_micros) AS cache_read_cost_micros,
  sum(cache_write_cost_micros) AS cache_write_cost_micros, sum(cost_micros) AS cost_micros,
  sum(platform_cost_micros) AS platform_cost_micros, sum(estimated_calls) AS estimated_calls,
  sum(missing_costs) AS missing_costs
FROM usage_facts
GROUP BY day, agent_id, user_id, channel, provider, model;

CREATE VIEW usage_quarters_true AS
SELECT slot, agent_id, session_key, session_id, user_id, channel, provider, model, tool_name,
  sum(model_calls) AS model_calls, sum(tool_calls) AS tool_calls, sum(user_messages) AS user_messages,
  sum(assistant_messages) AS assistant_messages, sum(errors) AS errors, sum(input_tokens) AS input_tokens,
  sum(output_tokens) AS output_tokens, sum(cache_read_tokens) AS cache_read_tokens,
  sum(cache_write_tokens) AS cache_write_tokens, sum(input_cost_micros) AS input_cost_micros,
  sum(output_cost_micros) AS output_cost_micros, sum(cache_read_cost_micros) AS cache_read_cost_micros,
  sum(cache_write_cost_micros) AS cache_write_cost_micros, sum(cost_micros) AS cost_micros,
  sum(platform_cost_micros) AS platform_cost_micros, sum(estimated_calls) AS estimated_calls,
  sum(missing_costs) AS missing_costs
FROM usage_facts
GROUP BY slot, agent_id, session_key, session_id, user_id, channel, provider, model, tool_name;

-- Names (key, agent, channel) are those of the newest event; provider and model those of the newest model call.
CREATE VIEW usage_sessions_true AS
SELECT f.session_id,
  (SELECT e.session_key FROM usage_events e WHERE e.session_id = f.session_id ORDER BY e.seq DESC LIMIT 1)
    AS session_key,
  (SELECT e.agent_id FROM usage_events e WHERE e.session_id = f.session_id ORDER BY e.seq DESC LIMIT 1)
    AS agent_id,
  (SELECT e.channel FROM usage_events e WHERE e.session_id = f.session_id ORDER BY e.seq DESC LIMIT 1)
    AS channel,
  coalesce((SELECT e.provider FROM usage_events e WHERE e.session_id = f.session_id AND e.kind = 'model'
    ORDER BY e.seq DESC LIMIT 1), '') AS provider,
  coalesce((SELECT e.model FROM usage_events e WHERE e.session_id = f.session_id AND e.kind = 'model'
    ORDER BY e.seq DESC LIMIT 1), '') AS model,
  min(f.at_ms) AS first_ms, max(f.at_ms) AS last_ms,
  sum(f.model_calls) AS model_calls, sum(f.tool_calls) AS tool_calls, sum(f.user_messages) AS user_messages,
  sum(f.assistant_messages) AS assistant_messages, sum(f.errors) AS errors, sum(f.input_tokens) AS input_tokens,
  sum(f.output_tokens) AS output_tokens, sum(f.cache_read_tokens) AS cache_read_tokens,
  sum(f.cache_write_tokens) AS cache_write_tokens, sum(f.cost_micros) AS cost_micros,
  sum(f.platform_cost_micros) AS platform_cost_micros
FROM usage_facts f
GROUP BY f.session_id;

-- An event of another tenant can never be stored here, whatever the program does.
CREATE TRIGGER usage_events_owner BEFORE INSERT ON usage_events
WHEN NEW.tenant_id <> (SELECT owner FROM file_owner)
BEGIN
  SELECT RAISE(ABORT, 'usage event of another tenant');
END;

CREATE TRIGGER usage_events_no_update BEFORE UPDATE ON usage_events
BEGIN
  SELECT RAISE(ABORT, 'usage events never change');
END;

CREATE TRIGGER usage_events_no_delete BEFORE DELETE ON usage_events
BEGIN
  SELECT RAISE(ABORT, 'usage events are never removed');
END;

-- Runs only for rows that were really inserted: a repeated event (ON CONFLICT DO NOTHING) counts once.
CREATE TRIGGER usage_events_roll_up AFTER INSERT ON usage_events
BEGIN
  INSERT INTO usage_days
  SELECT day, agent_id, user_id, channel, provider, model, model_calls, tool_calls, user_messages,
    assistant_messages, errors, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens,
    input_cost_micros, output_cost_micros, cache_read_cost_micros, cache_write_cost_micros, cost_micros,
    platform_cost_micros, estimated_calls, missing_costs
  FROM usage_facts WHERE seq = NEW.seq
  ON CONFLICT DO UPDATE SET
    model_calls = model_calls + excluded.model_calls,
    tool_calls = tool_calls + excluded.tool_calls,
    user_messages = user_messages + excluded.user_messages,
    assistant_messages = assistant_messages + excluded.assistant_messages,
    errors = errors + excluded.errors,
    input_tokens = input_tokens + excluded.input_tokens,
    output_tokens = output_tokens + excluded.output_tokens,
    cache_read_tokens = cache_read_tokens + excluded.cache_read_tokens,
    cache_write_tokens = cache_write_tokens + excluded.cache_write_tokens,
    input_cost_micros = input_cost_micros + excluded.input_cost_micros,
    output_cost_micros = output_cost_micros + excluded.output_cost_micros,
    cache_read_cost_micros = cache_read_cost_micros + excluded.cache_read_cost_micros,
    cache_write_cost_micros = cache_write_cost_micros + excluded.cache_write_cost_micros,
    cost_micros = cost_micros + excluded.cost_micros,
    platform_cost_micros = platform_cost_micros + excluded.platform_cost_micros,
    estimated_calls = estimated_calls + excluded.estimated_calls,
    missing_costs = missing_costs + excluded.missing_costs;

  INSERT INTO usage_quarters
  SELECT slot, agent_id, session_key, session_id, user_id, channel, provider, model, tool_name, model_calls,
    tool_calls, user_messages, assistant_messages, errors, input_tokens, output_tokens, cache_read_tokens,
    cache_write_tokens, input_cost_micros, output_cost_micros, cache_read_cost_micros, cache_write_cost_micros,
    cost_micros, platform_cost_micros, estimated_calls, missing_costs
  FROM usage_facts WHERE seq = NEW.seq
  ON CONFLICT DO UPDATE SET
    model_calls = model_calls + excluded.model_calls,
    tool_calls = tool_calls + excluded.tool_calls,
    user_messages = user_messages + excluded.user_messages,
    assistant_messages = assistant_messages + excluded.assistant_messages,
    errors = errors + excluded.errors,
    input_tokens = input_tokens + excluded.input_tokens,
    output_tokens = output_tokens + excluded.output_tokens,
    cache_read_tokens = cache_read_tokens + excluded.cache_read_tokens,
    cache_write_tokens = cache_write_tokens + excluded.cache_write_tokens,
    input_cost_micros = input_cost_micros + excluded.input_cost_micros,
    output_cost_micros = output_cost_micros + excluded.output_cost_micros,
    cache_read_cost_micros = cache_read_cost_micros + excluded.cache_read_cost_micros,
    cache_write_cost_micros = cache_write_cost_micros + excluded.cache_write_cost_micros,
    cost_micros = cost_micros + excluded.cost_micros,
    platform_cost_micros = platform_cost_micros + excluded.platform_cost_micros,
    estimated_calls = estimated_calls + excluded.estimated_calls,
    missing_costs = missing_costs + excluded.missing_costs;

  INSERT INTO usage_sessions
  SELECT session_id, session_key, agent_id, channel, provider, model, at_ms, at_ms, model_calls, tool_calls,
    user_messages, assistant_messages, errors, input_tokens, output_tokens, cache_read_tokens,
    cache_write_tokens, cost_micros, platform_cost_micros
  FROM usage_facts WHERE seq = NEW.seq
  ON CONFLICT DO UPDATE SET
    session_key = excluded.session_key,
    agent_id = excluded.agent_id,
    channel = excluded.channel,
    provider = CASE WHEN excluded.model_calls THEN excluded.provider ELSE provider END,
    model = CASE WHEN excluded.model_calls THEN excluded.model ELSE model END,
    first_ms = min(first_ms, excluded.first_ms),
    last_ms = max(last_ms, excluded.last_ms),
    model_calls = model_calls + excluded.model_calls,
    tool_calls = tool_calls + excluded.tool_calls,
    user_messages = user_messages + excluded.user_messages,
    assistant_messages = assistant_messages + excluded.assistant_messages,
    errors = errors + excluded.errors,
    input_tokens = input_tokens + excluded.input_tokens,
    output_tokens = output_tokens + excluded.output_tokens,
    cache_read_tokens = cache_read_tokens + excluded.cache_read_tokens,
    cache_write_tokens = cache_write_tokens + excluded.cache_write_tokens,
    cost_micros = cost_micros + excluded.cost_micros,
    platform_cost_micros = platform_cost_micros + excluded.platform_cost_micros;

  INSERT INTO usage_dirty_days VALUES (NEW.day, NEW.seq)
  ON CONFLICT DO UPDATE SET last_seq = excluded.last_seq;
END;
