-- Plans that were set for a later day begin by themselves: up to which of them they were noticed.

CREATE INDEX tenant_plans_by_beginning ON tenant_plans (from_ms, tenant_id);

CREATE TABLE plan_beginnings (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  from_ms INTEGER NOT NULL,
  tenant_id TEXT NOT NULL
) STRICT;

-- What began before there was this is noticed with the next use.
INSERT INTO plan_beginnings SELECT 1, coalesce(max(set_at_ms), 0), '' FROM tenant_plans;
