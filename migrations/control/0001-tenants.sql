CREATE TABLE tenants (
  id TEXT PRIMARY KEY,
  slug TEXT NOT NULL UNIQUE,
  display_name TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('active', 'suspended', 'deleting')),
  plan TEXT NOT NULL,
  time_zone TEXT NOT NULL,
  created_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE tenant_hosts (
  host TEXT PRIMARY KEY,
  tenant_id TEXT NOT NULL REFERENCES tenants (id)
) STRICT, WITHOUT ROWID;

CREATE INDEX tenant_hosts_by_tenant ON tenant_hosts (tenant_id);

-- Tenants that may have open runs: what a start after a crash must look at. Written before the first run of a burst is
-- acknowledged, removed when the tenant is quiet again.
CREATE TABLE tenants_at_work (
  tenant_id TEXT PRIMARY KEY REFERENCES tenants (id),
  since_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
