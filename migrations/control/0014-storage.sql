-- What tenants keep on disk, as far as it is known without opening anything of theirs; warnings that leave the house.

CREATE TABLE tenant_storage (
  tenant_id TEXT PRIMARY KEY,
  -- Everything in the tenant's folder but its database.
  file_bytes INTEGER NOT NULL CHECK (file_bytes >= 0),
  database_bytes INTEGER NOT NULL CHECK (database_bytes >= 0),
  -- When the folder was walked last.
  counted_at_ms INTEGER NOT NULL,
  -- 1: a process ended before it wrote down what it knew; count anew.
  is_stale INTEGER NOT NULL DEFAULT 0 CHECK (is_stale IN (0, 1)),
  -- Newest day of the tenant's calendar whose storage was charged, or cost nothing; empty before the first.
  charged_day TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;

CREATE INDEX tenant_storage_stale ON tenant_storage (tenant_id) WHERE is_stale = 1;

-- Whether the last process that counted wrote down all it knew.
CREATE TABLE storage_counting (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  is_clean INTEGER NOT NULL CHECK (is_clean IN (0, 1))
) STRICT;

-- Shares of the plan's storage that were reached: one warning per month and level.
CREATE TABLE storage_alerts (
  tenant_id TEXT NOT NULL,
  period TEXT NOT NULL,
  level INTEGER NOT NULL CHECK (level IN (80, 95)),
  limit_bytes INTEGER NOT NULL,
  used_bytes INTEGER NOT NULL,
  at_ms INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, period, level)
) STRICT, WITHOUT ROWID;

-- Warnings on their way out. Kept a while after they arrived, so that one that is noticed again is not sent again.
CREATE TABLE alert_deliveries (
  -- The same whenever the same warning is noticed again.
  id TEXT NOT NULL,
  destination TEXT NOT NULL CHECK (destination IN ('operator', 'tenant')),
  tenant_id TEXT NOT NULL,
  type TEXT NOT NULL,
  facts TEXT NOT NULL CHECK (json_valid(facts)),
  at_ms INTEGER NOT NULL,
  failures INTEGER NOT NULL DEFAULT 0,
  next_at_ms INTEGER NOT NULL DEFAULT 0,
  last_error TEXT,
  -- When it arrived or was given up; null while it is on its way.
  ended_at_ms INTEGER,
  PRIMARY KEY (id, destination)
) STRICT, WITHOUT ROWID;

CREATE INDEX alert_deliveries_due ON alert_deliveries (next_at_ms) WHERE ended_at_ms IS NULL;
CREATE INDEX alert_deliveries_ended ON alert_deliveries (ended_at_ms) WHERE ended_at_ms IS NOT NULL;
