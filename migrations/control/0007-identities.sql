-- How people sign in: identities at providers, flows on their way, and providers that tenants bring themselves.

-- A person who came through a tenant's own provider exists for that tenant only: whoever runs that provider can be
-- anybody it names. Null for everybody else. No reference: the mark outlives the tenant.
ALTER TABLE users ADD COLUMN only_tenant_id TEXT;

CREATE TRIGGER members_of_one_tenant BEFORE INSERT ON members
WHEN EXISTS (SELECT 1 FROM users
  WHERE id = NEW.user_id AND only_tenant_id IS NOT NULL AND only_tenant_id <> NEW.tenant_id)
BEGIN
  SELECT RAISE(IGNORE);
END;

CREATE TRIGGER operators_of_the_deployment BEFORE INSERT ON operators
WHEN EXISTS (SELECT 1 FROM users WHERE id = NEW.user_id AND only_tenant_id IS NOT NULL)
BEGIN
  SELECT RAISE(IGNORE);
END;

CREATE TRIGGER users_stay_where_they_are BEFORE UPDATE OF only_tenant_id ON users
WHEN NEW.only_tenant_id IS NOT OLD.only_tenant_id
BEGIN
  SELECT RAISE(ABORT, 'a person never moves between the deployment and a tenant');
END;

-- realm: empty for the deployment's providers, else the tenant whose own provider vouches.
-- provider: where it was last used; says which entry of the configuration, or which binding, to use again.
-- email_key: the address in the one form in which addresses are compared; null when it cannot be compared.
CREATE TABLE identities (
  id TEXT PRIMARY KEY,
  user_id TEXT NOT NULL REFERENCES users (id),
  realm TEXT NOT NULL,
  issuer TEXT NOT NULL,
  subject TEXT NOT NULL,
  provider TEXT NOT NULL,
  upstream TEXT,
  display_name TEXT,
  email TEXT,
  email_key TEXT,
  email_verified INTEGER NOT NULL CHECK (email_verified IN (0, 1)),
  linked_at_ms INTEGER NOT NULL,
  last_used_at_ms INTEGER,
  UNIQUE (realm, issuer, subject)
) STRICT, WITHOUT ROWID;

CREATE INDEX identities_by_user ON identities (user_id);
CREATE INDEX identities_by_email ON identities (email_key) WHERE email_verified = 1 AND realm = '';

CREATE TRIGGER identities_stay_in_their_realm BEFORE INSERT ON identities
WHEN NEW.realm <> coalesce((SELECT only_tenant_id FROM users WHERE id = NEW.user_id), '')
BEGIN
  SELECT RAISE(IGNORE);
END;

CREATE TRIGGER identities_never_move BEFORE UPDATE OF user_id, realm, issuer, subject ON identities
BEGIN
  SELECT RAISE(ABORT, 'an identity belongs to one person for good');
END;

-- What an upstream provider calls the person, e.g. WeChat's openid (one per app) and unionid (one per company).
-- Kept to be seen; nobody is ever found by them.
CREATE TABLE identity_external_ids (
  identity_id TEXT NOT NULL REFERENCES identities (id) ON DELETE CASCADE,
  kind TEXT NOT NULL,
  value TEXT NOT NULL,
  first_seen_at_ms INTEGER NOT NULL,
  last_seen_at_ms INTEGER NOT NULL,
  PRIMARY KEY (identity_id, kind, value)
) STRICT, WITHOUT ROWID;

-- Sign-ins on their way through a provider. sealed: PKCE verifier, nonce and the way back.
CREATE TABLE sign_in_flows (
  state_hash TEXT PRIMARY KEY,
  browser_hash TEXT NOT NULL,
  address TEXT NOT NULL,
  provider TEXT NOT NULL,
  issuer TEXT NOT NULL,
  intent TEXT NOT NULL CHECK (intent IN ('sign_in', 'link', 'step_up')),
  session_id TEXT,
  tenant_id TEXT,
  origin TEXT NOT NULL,
  sealed TEXT NOT NULL,
  created_at_ms INTEGER NOT NULL,
  expires_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX sign_in_flows_by_end ON sign_in_flows (expires_at_ms);
CREATE INDEX sign_in_flows_by_address ON sign_in_flows (address);
CREATE INDEX sign_in_flows_by_browser ON sign_in_flows (browser_hash);

-- Messages of providers that said somebody signed out; each counts once.
CREATE TABLE logout_messages (
  hash TEXT PRIMARY KEY,
  expires_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Through which provider a browser signed in, for signing out there too.
ALTER TABLE browser_sessions ADD COLUMN identity_id TEXT;
ALTER TABLE browser_sessions ADD COLUMN provider TEXT;
ALTER TABLE browser_sessions ADD COLUMN provider_session TEXT;
ALTER TABLE browser_sessions ADD COLUMN sealed_id_token TEXT;

CREATE INDEX browser_sessions_by_identity ON browser_sessions (identity_id) WHERE identity_id IS NOT NULL;
CREATE INDEX browser_sessions_by_provider ON browser_sessions (provider, provider_session)
  WHERE provider_session IS NOT NULL;

CREATE TRIGGER browser_sessions_forget AFTER UPDATE OF revoked_at_ms ON browser_sessions
WHEN NEW.revoked_at_ms IS NOT NULL AND NEW.sealed_id_token IS NOT NULL
BEGIN
  UPDATE browser_sessions SET sealed_id_token = NULL WHERE id = NEW.id;
END;

-- One provider that a tenant brings. The secret is sealed in the tenant's vault.
CREATE TABLE own_sign_in_providers (
  binding_id TEXT PRIMARY KEY,
  tenant_id TEXT NOT NULL UNIQUE REFERENCES tenants (id) ON DELETE CASCADE,
  issuer TEXT NOT NULL,
  client_id TEXT NOT NULL,
  sealed_secret TEXT NOT NULL,
  label TEXT NOT NULL,
  icon TEXT NOT NULL,
  default_role TEXT CHECK (default_role IN ('admin', 'member', 'readonly')),
  created_at_ms INTEGER NOT NULL,
  updated_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER identities_end_with_their_tenant AFTER DELETE ON tenants BEGIN
  DELETE FROM identities WHERE realm = OLD.id;
  DELETE FROM browser_sessions WHERE user_id IN (SELECT id FROM users WHERE only_tenant_id = OLD.id);
END;
