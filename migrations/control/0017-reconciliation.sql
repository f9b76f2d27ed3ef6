-- Comparing usage with providers, also for tenants' own keys (reconciliations.key_owner is 'platform' or a tenant's id);
-- nights that could not be compared; what tenants that are gone had used.

-- Tenants' own providers that may tell what they counted. A row too many does no harm: the tenant's own file decides.
CREATE TABLE usage_endpoints (
  tenant_id TEXT NOT NULL,
  provider TEXT NOT NULL,
  -- Scheme, host and port of the address.
  origin TEXT NOT NULL,
  -- First day (UTC) that is compared.
  since_day TEXT NOT NULL,
  PRIMARY KEY (tenant_id, provider)
) STRICT, WITHOUT ROWID;

-- What could not be compared, and when it is tried again; the row with the empty day is about the key as a whole.
CREATE TABLE reconciliation_troubles (
  provider TEXT NOT NULL,
  key_owner TEXT NOT NULL,
  day TEXT NOT NULL,
  failures INTEGER NOT NULL,
  next_at_ms INTEGER NOT NULL,
  last_error TEXT NOT NULL,
  PRIMARY KEY (provider, key_owner, day)
) STRICT, WITHOUT ROWID;

-- Calls with the platform's keys of tenants that are gone, by day of UTC: providers count them all the same. Kept for as
-- long as nights are made up.
CREATE TABLE gone_usage (
  tenant_id TEXT NOT NULL,
  provider TEXT NOT NULL,
  day TEXT NOT NULL,
  model TEXT NOT NULL,
  calls INTEGER NOT NULL,
  estimated_calls INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL,
  cached_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  PRIMARY KEY (provider, day, tenant_id, model)
) STRICT, WITHOUT ROWID;

CREATE INDEX gone_usage_by_tenant ON gone_usage (tenant_id);
CREATE INDEX gone_usage_by_day ON gone_usage (day);
