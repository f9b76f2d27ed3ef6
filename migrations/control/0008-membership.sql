-- valid_after_ms: proofs of who somebody is that are older do not count in this tenant. last_seen_at_ms: in this tenant,
-- never elsewhere.
ALTER TABLE members ADD COLUMN valid_after_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE members ADD COLUMN last_seen_at_ms INTEGER;

-- The one tenant whose service account this is; null for people. A service account has no way to sign in.
ALTER TABLE users ADD COLUMN service_of TEXT;

-- When somebody was last put out or left, so that a return revives nothing.
CREATE TABLE former_members (
  tenant_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  left_at_ms INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, user_id)
) STRICT, WITHOUT ROWID;

-- What a tenant decided about who may become what. A tenant without a row has the defaults. needs_name: nobody gave it a
-- name of its own yet.
CREATE TABLE membership_rules (
  tenant_id TEXT PRIMARY KEY,
  needs_name INTEGER NOT NULL DEFAULT 0,
  takes_join_requests INTEGER NOT NULL DEFAULT 0,
  role_ceiling TEXT NOT NULL DEFAULT 'owner' CHECK (role_ceiling IN ('owner', 'admin', 'member', 'readonly')),
  invitation_ceiling TEXT NOT NULL DEFAULT 'owner'
    CHECK (invitation_ceiling IN ('owner', 'admin', 'member', 'readonly')),
  service_account_ceiling TEXT NOT NULL DEFAULT 'admin'
    CHECK (service_account_ceiling IN ('admin', 'member', 'readonly'))
) STRICT, WITHOUT ROWID;

-- inviter: a person by user id, a service identity by token id, or the machine. tie_*: who alone may accept; all null
-- for whoever holds the link.
CREATE TABLE invitations (
  tenant_id TEXT NOT NULL,
  id TEXT NOT NULL,
  hash TEXT NOT NULL UNIQUE,
  role TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'member', 'readonly')),
  note TEXT,
  tie_email TEXT,
  tie_provider TEXT,
  tie_issuer TEXT,
  tie_subject TEXT,
  inviter_kind TEXT NOT NULL CHECK (inviter_kind IN ('person', 'token', 'machine')),
  inviter_id TEXT NOT NULL,
  inviter_name TEXT NOT NULL,
  created_at_ms INTEGER NOT NULL,
  expires_at_ms INTEGER NOT NULL,
  accepted_at_ms INTEGER,
  accepted_by TEXT,
  revoked_at_ms INTEGER,
  PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX invitations_by_creation ON invitations (tenant_id, created_at_ms);

CREATE TABLE join_requests (
  tenant_id TEXT NOT NULL,
  id TEXT NOT NULL,
  user_id TEXT NOT NULL REFERENCES users (id),
  note TEXT,
  created_at_ms INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX join_requests_by_user ON join_requests (tenant_id, user_id);

-- How often a person asked to join anything lately; written at every request, so that each costs the same.
CREATE TABLE join_attempts (
  user_id TEXT PRIMARY KEY,
  since_ms INTEGER NOT NULL,
  attempts INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE ownership_offers (
  tenant_id TEXT NOT NULL,
  id TEXT NOT NULL,
  from_user_id TEXT NOT NULL REFERENCES users (id),
  to_user_id TEXT NOT NULL REFERENCES users (id),
  created_at_ms INTEGER NOT NULL,
  expires_at_ms INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX ownership_offers_by_owner ON ownership_offers (tenant_id, from_user_id);

-- Whoever is in has nothing to ask for any more.
CREATE TRIGGER members_joined AFTER INSERT ON members BEGIN
  DELETE FROM join_requests WHERE tenant_id = NEW.tenant_id AND user_id = NEW.user_id;
END;

-- An offer stands between two people as they were when it was made.
CREATE TRIGGER ownership_offers_end_by_role AFTER UPDATE OF role ON members WHEN NEW.role <> OLD.role BEGIN
  DELETE FROM ownership_offers WHERE tenant_id = NEW.tenant_id AND NEW.user_id IN (from_user_id, to_user_id);
END;

CREATE TRIGGER ownership_offers_end_by_leaving AFTER DELETE ON members BEGIN
  DELETE FROM ownership_offers WHERE tenant_id = OLD.tenant_id AND OLD.user_id IN (from_user_id, to_user_id);
END;

-- The last line: whatever writes here, a tenant that is not being deleted keeps an owner.
CREATE TRIGGER members_keep_owner_at_change BEFORE UPDATE OF role ON members
WHEN OLD.role = 'owner' AND NEW.role <> 'owner'
  AND (SELECT status FROM tenants WHERE id = OLD.tenant_id) <> 'deleting'
  AND (SELECT count(*) FROM members WHERE tenant_id = OLD.tenant_id AND role = 'owner') = 1
BEGIN
  SELECT raise(ABORT, 'a tenant keeps at least one owner');
END;

CREATE TRIGGER members_keep_owner_at_leaving BEFORE DELETE ON members
WHEN OLD.role = 'owner'
  AND (SELECT status FROM tenants WHERE id = OLD.tenant_id) <> 'deleting'
  AND (SELECT count(*) FROM members WHERE tenant_id = OLD.tenant_id AND role = 'owner') = 1
BEGIN
  SELECT raise(ABORT, 'a tenant keeps at least one owner');
END;
