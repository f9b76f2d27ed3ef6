-- Plans, who is pinned to which, tenants whose turns were stopped, prices that operators set. Versions and price rows
-- are only ever added: what was sold and what was charged can be looked up for ever.

CREATE TABLE plans (
  id TEXT NOT NULL,
  version INTEGER NOT NULL CHECK (version >= 1),
  terms TEXT NOT NULL CHECK (json_valid(terms)),
  made_at_ms INTEGER NOT NULL,
  made_by TEXT NOT NULL,
  PRIMARY KEY (id, version)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER plans_no_update BEFORE UPDATE ON plans BEGIN SELECT RAISE(ABORT, 'a plan version never changes'); END;
CREATE TRIGGER plans_no_delete BEFORE DELETE ON plans BEGIN SELECT RAISE(ABORT, 'a plan version never changes'); END;

-- The plan that holds from a moment on, with its terms as they were: a plan edited later changes nobody's terms.
CREATE TABLE tenant_plans (
  tenant_id TEXT NOT NULL REFERENCES tenants (id),
  from_ms INTEGER NOT NULL,
  plan TEXT NOT NULL,
  version INTEGER NOT NULL,
  terms TEXT NOT NULL CHECK (json_valid(terms)),
  set_at_ms INTEGER NOT NULL,
  set_by TEXT NOT NULL,
  PRIMARY KEY (tenant_id, from_ms)
) STRICT, WITHOUT ROWID;

-- Tenants that start no turns until somebody lets them go on.
CREATE TABLE tenant_breakers (
  tenant_id TEXT PRIMARY KEY REFERENCES tenants (id),
  reason TEXT NOT NULL,
  since_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Prices in micro-units: of models per million tokens, of tools per call, of storage per GiB and month. The newest row
-- of the newest day that has begun holds; tenant_id is empty for everybody's price.
CREATE TABLE price_rows (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL CHECK (kind IN ('model', 'tool', 'storage')),
  tenant_id TEXT NOT NULL,
  provider TEXT NOT NULL,
  name TEXT NOT NULL,
  from_day TEXT NOT NULL CHECK (from_day GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]'),
  input INTEGER NOT NULL CHECK (input >= 0),
  output INTEGER NOT NULL CHECK (output >= 0),
  cache_read INTEGER NOT NULL CHECK (cache_read >= 0),
  cache_write INTEGER NOT NULL CHECK (cache_write >= 0),
  reasoning INTEGER NOT NULL CHECK (reasoning >= 0),
  source TEXT NOT NULL,
  made_at_ms INTEGER NOT NULL,
  made_by TEXT NOT NULL
) STRICT;

CREATE INDEX price_rows_by_tenant ON price_rows (tenant_id);
CREATE TRIGGER price_rows_no_update BEFORE UPDATE ON price_rows BEGIN SELECT RAISE(ABORT, 'price rows never change'); END;

-- What a tenant pays on top of the price, in hundredths of a percent; -10000 is nothing at all. tenant_id as above.
CREATE TABLE price_margins (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  tenant_id TEXT NOT NULL,
  from_day TEXT NOT NULL CHECK (from_day GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]'),
  basis_points INTEGER NOT NULL CHECK (basis_points BETWEEN -10000 AND 100000),
  made_at_ms INTEGER NOT NULL,
  made_by TEXT NOT NULL
) STRICT;

CREATE INDEX price_margins_by_tenant ON price_margins (tenant_id);
CREATE TRIGGER price_margins_no_update BEFORE UPDATE ON price_margins BEGIN SELECT RAISE(ABORT, 'margins never change'); END;

-- The plan of tenants that are on none, as the running configuration has it.
CREATE TABLE default_plan (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  plan TEXT NOT NULL,
  terms TEXT NOT NULL CHECK (json_valid(terms))
) STRICT;

-- How many people a tenant may have from a moment on; null is no limit. The newest row of the tenant that has begun
-- holds, else the one of the empty tenant. Whoever lets people in asks it inside the same commit.
CREATE VIEW seat_limits AS
SELECT tenant_id, from_ms, json_extract(terms, '$.seats') AS seats FROM tenant_plans
UNION ALL SELECT '', 0, json_extract(terms, '$.seats') FROM default_plan;
