CREATE TABLE users (
  id TEXT PRIMARY KEY,
  display_name TEXT NOT NULL,
  language TEXT,
  created_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Who runs the platform; says nothing about any tenant.
CREATE TABLE operators (
  user_id TEXT PRIMARY KEY REFERENCES users (id),
  since_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE members (
  tenant_id TEXT NOT NULL REFERENCES tenants (id),
  user_id TEXT NOT NULL REFERENCES users (id),
  role TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'member', 'readonly')),
  created_at_ms INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, user_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX members_by_user ON members (user_id);

-- user_id: the person the token acts as, or null for a service identity of its own.
-- created_by: the person whose standing bounds the token for life, or null when made on the machine itself.
-- parent_id: the token that made this one; revoking it revokes this one.
CREATE TABLE api_tokens (
  tenant_id TEXT NOT NULL REFERENCES tenants (id),
  id TEXT NOT NULL,
  hash TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  role TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'member', 'readonly')),
  user_id TEXT REFERENCES users (id),
  created_by TEXT REFERENCES users (id),
  parent_id TEXT,
  prefix TEXT NOT NULL,
  last4 TEXT NOT NULL,
  created_at_ms INTEGER NOT NULL,
  expires_at_ms INTEGER,
  last_used_at_ms INTEGER,
  revoked_at_ms INTEGER,
  PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX api_tokens_by_parent ON api_tokens (tenant_id, parent_id) WHERE parent_id IS NOT NULL;

CREATE TABLE login_links (
  hash TEXT PRIMARY KEY,
  user_id TEXT NOT NULL REFERENCES users (id),
  tenant_id TEXT REFERENCES tenants (id),
  created_at_ms INTEGER NOT NULL,
  expires_at_ms INTEGER NOT NULL,
  used_at_ms INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX login_links_by_user ON login_links (user_id);

CREATE TABLE browser_sessions (
  id TEXT PRIMARY KEY,
  hash TEXT NOT NULL UNIQUE,
  user_id TEXT NOT NULL REFERENCES users (id),
  created_at_ms INTEGER NOT NULL,
  last_seen_at_ms INTEGER NOT NULL,
  expires_at_ms INTEGER NOT NULL,
  revoked_at_ms INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX browser_sessions_by_user ON browser_sessions (user_id);
CREATE INDEX browser_sessions_by_end ON browser_sessions (expires_at_ms);

-- Private keys are sealed under a key derived from the master key.
CREATE TABLE signing_keys (
  kid TEXT PRIMARY KEY,
  tenant_id TEXT NOT NULL REFERENCES tenants (id),
  purpose TEXT NOT NULL,
  public_key TEXT NOT NULL,
  sealed_private_key TEXT NOT NULL,
  created_at_ms INTEGER NOT NULL,
  retired_at_ms INTEGER
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX signing_keys_current ON signing_keys (tenant_id, purpose) WHERE retired_at_ms IS NULL;

-- A device token continues the credential that it was issued for (source_kind, source_id) and ends with it.
CREATE TABLE device_tokens (
  tenant_id TEXT NOT NULL REFERENCES tenants (id),
  id TEXT NOT NULL,
  hash TEXT NOT NULL UNIQUE,
  user_id TEXT NOT NULL,
  device_id TEXT NOT NULL,
  client_id TEXT NOT NULL,
  scopes TEXT NOT NULL,
  source_kind TEXT NOT NULL CHECK (source_kind IN ('api_token', 'browser_session')),
  source_id TEXT NOT NULL,
  created_at_ms INTEGER NOT NULL,
  last_used_at_ms INTEGER NOT NULL,
  revoked_at_ms INTEGER,
  PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX device_tokens_current
  ON device_tokens (tenant_id, user_id, device_id, client_id, source_id, scopes) WHERE revoked_at_ms IS NULL;

-- A feed of everything that takes authority away, so that open sockets and other processes notice by reading one row.
-- Null means: any tenant, any user.
CREATE TABLE access_changes (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  tenant_id TEXT,
  user_id TEXT
) STRICT;

CREATE TRIGGER access_changes_bounded AFTER INSERT ON access_changes WHEN NEW.seq % 64 = 0 BEGIN
  DELETE FROM access_changes WHERE seq <= NEW.seq - 1024;
END;

CREATE TRIGGER members_changed AFTER UPDATE OF role ON members BEGIN
  INSERT INTO access_changes (tenant_id, user_id) VALUES (NEW.tenant_id, NULL);
END;

CREATE TRIGGER members_removed AFTER DELETE ON members BEGIN
  INSERT INTO access_changes (tenant_id, user_id) VALUES (OLD.tenant_id, NULL);
END;

CREATE TRIGGER tenants_changed AFTER UPDATE OF status ON tenants BEGIN
  INSERT INTO access_changes (tenant_id, user_id) VALUES (NEW.id, NULL);
END;

CREATE TRIGGER api_tokens_changed AFTER UPDATE OF revoked_at_ms, role, expires_at_ms ON api_tokens BEGIN
  INSERT INTO access_changes (tenant_id, user_id) VALUES (NEW.tenant_id, NULL);
END;

CREATE TRIGGER device_tokens_changed AFTER UPDATE OF revoked_at_ms ON device_tokens BEGIN
  INSERT INTO access_changes (tenant_id, user_id) VALUES (NEW.tenant_id, NULL);
END;

CREATE TRIGGER device_tokens_removed AFTER DELETE ON device_tokens BEGIN
  INSERT INTO access_changes (tenant_id, user_id) VALUES (OLD.tenant_id, NULL);
END;

CREATE TRIGGER browser_sessions_changed AFTER UPDATE OF revoked_at_ms ON browser_sessions BEGIN
  INSERT INTO access_changes (tenant_id, user_id) VALUES (NULL, NEW.user_id);
END;
