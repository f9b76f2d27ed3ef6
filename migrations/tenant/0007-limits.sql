-- Thresholds of budgets that were reached: one row, and so one alert, per budget, period and level.

CREATE TABLE billing_alerts (
  id TEXT PRIMARY KEY,
  period TEXT NOT NULL,
  scope TEXT NOT NULL,
  scope_id TEXT NOT NULL,
  level INTEGER NOT NULL CHECK (level IN (50, 80, 95, 100)),
  limit_micros INTEGER NOT NULL,
  spent_micros INTEGER NOT NULL,
  at_ms INTEGER NOT NULL,
  UNIQUE (period, scope, scope_id, level)
) STRICT;
