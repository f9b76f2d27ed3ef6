-- A tenant's life: renamed, suspended, deleted, gone; and the platform's people looking in.

-- read_only_until_ms: a suspended tenant still answers reads until then. delete_after_ms: until then a deletion can be
-- taken back. status_before: what a deletion that is taken back goes back to. purge_began_at_ms: no way back any more.
ALTER TABLE tenants ADD COLUMN read_only_until_ms INTEGER;
ALTER TABLE tenants ADD COLUMN status_reason TEXT;
ALTER TABLE tenants ADD COLUMN status_since_ms INTEGER;
ALTER TABLE tenants ADD COLUMN status_before TEXT;
ALTER TABLE tenants ADD COLUMN delete_after_ms INTEGER;
ALTER TABLE tenants ADD COLUMN purge_began_at_ms INTEGER;

CREATE INDEX tenants_deleting ON tenants (delete_after_ms) WHERE status = 'deleting';

CREATE TRIGGER tenants_life_changed AFTER UPDATE OF read_only_until_ms, delete_after_ms ON tenants BEGIN
  INSERT INTO access_changes (tenant_id, user_id) VALUES (NEW.id, NULL);
END;

CREATE TRIGGER tenants_gone AFTER DELETE ON tenants BEGIN
  INSERT INTO access_changes (tenant_id, user_id) VALUES (OLD.id, NULL);
END;

-- Slugs that a tenant had: they go on naming it, or, when it is gone, nobody. No reference to tenants: they outlive them.
CREATE TABLE old_slugs (
  slug TEXT PRIMARY KEY,
  tenant_id TEXT NOT NULL,
  retired_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX old_slugs_by_tenant ON old_slugs (tenant_id);

-- One row per tenant that is gone: the proof that it is, and that its id and slugs stay taken.
CREATE TABLE tenant_receipts (
  tenant_id TEXT PRIMARY KEY,
  slug TEXT NOT NULL,
  deleted_at_ms INTEGER NOT NULL,
  signed TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX tenant_receipts_by_time ON tenant_receipts (deleted_at_ms);

CREATE TRIGGER tenants_not_reused BEFORE INSERT ON tenants
WHEN EXISTS (SELECT 1 FROM old_slugs WHERE slug = NEW.slug)
  OR EXISTS (SELECT 1 FROM tenant_receipts WHERE tenant_id = NEW.id)
BEGIN
  SELECT RAISE(IGNORE);
END;

CREATE TRIGGER tenants_slug_not_reused BEFORE UPDATE OF slug ON tenants
WHEN EXISTS (SELECT 1 FROM old_slugs WHERE slug = NEW.slug AND tenant_id <> NEW.id)
BEGIN
  SELECT RAISE(IGNORE);
END;

CREATE TRIGGER old_slugs_stay BEFORE DELETE ON old_slugs
WHEN NOT EXISTS (SELECT 1 FROM tenants WHERE id = OLD.tenant_id AND slug = OLD.slug)
BEGIN
  SELECT RAISE(ABORT, 'an old slug is only given back to its own tenant');
END;

CREATE TRIGGER tenant_receipts_no_update BEFORE UPDATE ON tenant_receipts BEGIN
  SELECT RAISE(ABORT, 'receipts never change');
END;

CREATE TRIGGER tenant_receipts_no_delete BEFORE DELETE ON tenant_receipts BEGIN
  SELECT RAISE(ABORT, 'receipts never change');
END;

-- A purge under way: what was there when it began, and how far it is.
CREATE TABLE tenant_purges (
  tenant_id TEXT PRIMARY KEY REFERENCES tenants (id),
  facts TEXT NOT NULL CHECK (json_valid(facts)),
  key_destroyed_at_ms INTEGER,
  files_removed_at_ms INTEGER
) STRICT, WITHOUT ROWID;

-- What a tenant decides about itself towards the platform. No row: the defaults.
CREATE TABLE tenant_settings (
  tenant_id TEXT PRIMARY KEY REFERENCES tenants (id),
  break_glass_consent INTEGER NOT NULL DEFAULT 0 CHECK (break_glass_consent IN (0, 1))
) STRICT, WITHOUT ROWID;

-- An operator's look into a tenant. until_ms: while waiting, when the request lapses; while active, when the look ends.
CREATE TABLE break_glass_grants (
  id TEXT PRIMARY KEY,
  tenant_id TEXT NOT NULL REFERENCES tenants (id),
  operator_id TEXT NOT NULL REFERENCES users (id),
  operator_name TEXT NOT NULL,
  reason TEXT NOT NULL,
  minutes INTEGER NOT NULL CHECK (minutes BETWEEN 5 AND 240),
  state TEXT NOT NULL CHECK (state IN ('waiting', 'active', 'ended', 'refused', 'expired')),
  requested_at_ms INTEGER NOT NULL,
  started_at_ms INTEGER,
  until_ms INTEGER NOT NULL,
  ended_at_ms INTEGER
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX break_glass_open ON break_glass_grants (tenant_id, operator_id)
  WHERE state IN ('waiting', 'active');
CREATE INDEX break_glass_by_end ON break_glass_grants (until_ms) WHERE state IN ('waiting', 'active');
CREATE INDEX break_glass_by_operator ON break_glass_grants (operator_id);
CREATE INDEX break_glass_by_tenant ON break_glass_grants (tenant_id, requested_at_ms);

-- What was looked at, counted by method or route.
CREATE TABLE break_glass_uses (
  tenant_id TEXT NOT NULL REFERENCES tenants (id),
  grant_id TEXT NOT NULL REFERENCES break_glass_grants (id),
  what TEXT NOT NULL,
  times INTEGER NOT NULL,
  PRIMARY KEY (grant_id, what)
) STRICT, WITHOUT ROWID;

CREATE INDEX break_glass_uses_by_tenant ON break_glass_uses (tenant_id);

CREATE TRIGGER break_glass_changed AFTER UPDATE OF state ON break_glass_grants BEGIN
  INSERT INTO access_changes (tenant_id, user_id) VALUES (NEW.tenant_id, NULL);
END;

CREATE TRIGGER operators_removed AFTER DELETE ON operators BEGIN
  INSERT INTO access_changes (tenant_id, user_id) VALUES (NULL, OLD.user_id);
END;
