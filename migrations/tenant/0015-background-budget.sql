-- The part of a month's budget that work nobody waits for may use is decided where money is held back, by what such work
-- cost and holds: both are read from few rows, whatever people used.

ALTER TABLE reservations ADD COLUMN is_background INTEGER NOT NULL DEFAULT 0 CHECK (is_background IN (0, 1));

CREATE INDEX reservations_background ON reservations (period, amount_micros) WHERE state = 'open' AND is_background = 1;

CREATE INDEX usage_days_background ON usage_days (day, channel, platform_cost_micros)
  WHERE channel IN ('cron', 'hook', 'webhook', 'heartbeat');

-- Model calls that cost the tenant something, for what a limit would have refused: own keys and free models are refused by none.
CREATE INDEX usage_events_paid ON usage_events (at_ms) WHERE kind = 'model' AND key_owner = 'platform' AND cost_micros > 0;
