-- Devices: what is known of each, who let it in, who asks to be let in, and codes that let one in.
-- A browser has one key per origin, so tenants on one host see the same device id: everything here is keyed by tenant.

-- The list of sources was closed by a CHECK that cannot be changed in place. Same rows, same triggers, no closed list:
-- a token continues an `api_token`, a `browser_session`, or a `pairing` (device_pairings.id).
CREATE TABLE device_tokens_next (
  tenant_id TEXT NOT NULL REFERENCES tenants (id),
  id TEXT NOT NULL,
  hash TEXT NOT NULL UNIQUE,
  user_id TEXT NOT NULL,
  device_id TEXT NOT NULL,
  client_id TEXT NOT NULL,
  scopes TEXT NOT NULL,
  source_kind TEXT NOT NULL,
  source_id TEXT NOT NULL,
  created_at_ms INTEGER NOT NULL,
  last_used_at_ms INTEGER NOT NULL,
  rotated_at_ms INTEGER,
  revoked_at_ms INTEGER,
  PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;

INSERT INTO device_tokens_next (tenant_id, id, hash, user_id, device_id, client_id, scopes, source_kind, source_id,
    created_at_ms, last_used_at_ms, revoked_at_ms)
  SELECT tenant_id, id, hash, user_id, device_id, client_id, scopes, source_kind, source_id,
    created_at_ms, last_used_at_ms, revoked_at_ms FROM device_tokens;

DROP TABLE device_tokens;
ALTER TABLE device_tokens_next RENAME TO device_tokens;

CREATE UNIQUE INDEX device_tokens_current
  ON device_tokens (tenant_id, user_id, device_id, client_id, source_id, scopes) WHERE revoked_at_ms IS NULL;
CREATE INDEX device_tokens_by_device ON device_tokens (tenant_id, device_id) WHERE revoked_at_ms IS NULL;

CREATE TRIGGER device_tokens_changed AFTER UPDATE OF revoked_at_ms ON device_tokens BEGIN
  INSERT INTO access_changes (tenant_id, user_id) VALUES (NEW.tenant_id, NULL);
END;

CREATE TRIGGER device_tokens_removed AFTER DELETE ON device_tokens BEGIN
  INSERT INTO access_changes (tenant_id, user_id) VALUES (OLD.tenant_id, NULL);
END;

-- What a device that was let in says of itself, and what people call it. rounds: how often it was paired; part of the
-- id of its next request, so that an old approval never meets a new request.
CREATE TABLE devices (
  tenant_id TEXT NOT NULL REFERENCES tenants (id),
  device_id TEXT NOT NULL,
  public_key TEXT NOT NULL,
  label TEXT,
  display_name TEXT,
  platform TEXT,
  device_family TEXT,
  client_id TEXT NOT NULL,
  client_mode TEXT NOT NULL,
  address TEXT,
  rounds INTEGER NOT NULL DEFAULT 0,
  first_seen_at_ms INTEGER NOT NULL,
  last_seen_at_ms INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, device_id)
) STRICT, WITHOUT ROWID;

-- A device that somebody let in. It acts for the holder: a member of the tenant, or the API token with which it was
-- approved. It can come back with its key alone while its device token (source_kind pairing) lives.
CREATE TABLE device_pairings (
  tenant_id TEXT NOT NULL REFERENCES tenants (id),
  id TEXT NOT NULL,
  device_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  holder_kind TEXT NOT NULL CHECK (holder_kind IN ('member', 'api_token')),
  holder_id TEXT NOT NULL,
  scopes TEXT NOT NULL,
  via TEXT NOT NULL CHECK (via IN ('approval', 'setup_code')),
  approved_at_ms INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX device_pairings_of_device ON device_pairings (tenant_id, device_id);
CREATE INDEX device_pairings_by_holder ON device_pairings (tenant_id, holder_id);

CREATE TRIGGER device_pairings_removed AFTER DELETE ON device_pairings BEGIN
  INSERT INTO access_changes (tenant_id, user_id) VALUES (OLD.tenant_id, NULL);
END;

-- Requests of strangers to be let in. A rejected one stays until it expires, so that asking again changes nothing.
CREATE TABLE device_requests (
  tenant_id TEXT NOT NULL REFERENCES tenants (id),
  id TEXT NOT NULL,
  ask_id TEXT NOT NULL,
  device_id TEXT NOT NULL,
  public_key TEXT NOT NULL,
  display_name TEXT,
  platform TEXT,
  device_family TEXT,
  client_id TEXT NOT NULL,
  client_mode TEXT NOT NULL,
  scopes TEXT NOT NULL,
  address TEXT NOT NULL,
  address_key TEXT NOT NULL,
  is_repair INTEGER NOT NULL,
  requested_at_ms INTEGER NOT NULL,
  expires_at_ms INTEGER NOT NULL,
  rejected_at_ms INTEGER,
  PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX device_requests_by_device ON device_requests (tenant_id, device_id);
CREATE INDEX device_requests_by_end ON device_requests (expires_at_ms);

-- Every request costs one commit to this row, whether its tenant exists or not, so that time tells a stranger nothing.
CREATE TABLE pairing_asks (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  asks INTEGER NOT NULL
) STRICT;

INSERT INTO pairing_asks VALUES (1, 0);

CREATE TABLE pairing_settings (
  tenant_id TEXT PRIMARY KEY REFERENCES tenants (id),
  is_open INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Codes that let one device in at once, for whoever made them. Kept a day after their end, for those who ask how it went.
CREATE TABLE setup_codes (
  tenant_id TEXT NOT NULL REFERENCES tenants (id),
  id TEXT NOT NULL,
  hash TEXT NOT NULL UNIQUE,
  user_id TEXT NOT NULL,
  holder_kind TEXT NOT NULL CHECK (holder_kind IN ('member', 'api_token')),
  holder_id TEXT NOT NULL,
  scopes TEXT NOT NULL,
  access TEXT NOT NULL CHECK (access IN ('full', 'limited')),
  created_at_ms INTEGER NOT NULL,
  expires_at_ms INTEGER NOT NULL,
  used_at_ms INTEGER,
  device_id TEXT,
  device_name TEXT,
  delivered_at_ms INTEGER,
  PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX setup_codes_by_holder ON setup_codes (tenant_id, holder_id);

-- Whoever leaves takes what they let in with them; a later return does not revive it.
CREATE TRIGGER members_removed_devices AFTER DELETE ON members BEGIN
  DELETE FROM device_pairings WHERE tenant_id = OLD.tenant_id AND holder_kind = 'member' AND holder_id = OLD.user_id;
  DELETE FROM setup_codes WHERE tenant_id = OLD.tenant_id AND holder_kind = 'member' AND holder_id = OLD.user_id;
END;

-- The same when all that proved somebody here is set aside.
CREATE TRIGGER members_signed_out_devices AFTER UPDATE OF valid_after_ms ON members
WHEN NEW.valid_after_ms <> OLD.valid_after_ms BEGIN
  DELETE FROM device_pairings WHERE tenant_id = NEW.tenant_id AND holder_kind = 'member' AND holder_id = NEW.user_id;
  DELETE FROM setup_codes WHERE tenant_id = NEW.tenant_id AND holder_kind = 'member' AND holder_id = NEW.user_id;
END;
