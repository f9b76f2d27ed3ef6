-- Daily usage of every tenant, copied from the tenants' own files as absolute values; rebuildable from them.
-- No reference to tenants: a bill outlives the tenant.

CREATE TABLE usage_daily (
  tenant_id TEXT NOT NULL,
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
  PRIMARY KEY (tenant_id, day, agent_id, user_id, channel, provider, model)
) STRICT, WITHOUT ROWID;

CREATE INDEX usage_daily_by_day ON usage_daily (day);

-- How far the copy of a day is: the number of the tenant's newest event when the day was read.
CREATE TABLE usage_daily_marks (
  tenant_id TEXT NOT NULL,
  day TEXT NOT NULL,
  as_of_seq INTEGER NOT NULL,
  pushed_at_ms INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, day)
) STRICT, WITHOUT ROWID;
