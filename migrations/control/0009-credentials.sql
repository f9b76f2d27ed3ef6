-- Keys of the gateway itself, one current per purpose: `socket` signs the tokens with which browsers open sockets,
-- `record` signs what people keep (audit heads, receipts). Private keys are sealed under a key derived from the master
-- key. The table `signing_keys` of earlier versions is not used any more.
CREATE TABLE gateway_keys (
  kid TEXT PRIMARY KEY,
  purpose TEXT NOT NULL CHECK (purpose IN ('socket', 'record')),
  public_key TEXT NOT NULL,
  sealed_private_key TEXT NOT NULL,
  created_at_ms INTEGER NOT NULL,
  retired_at_ms INTEGER
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX gateway_keys_current ON gateway_keys (purpose) WHERE retired_at_ms IS NULL;

-- Narrower than the role, each a JSON array of texts. scopes: null means all that the role holds, an empty list
-- nothing. addresses (addresses or CIDR ranges), agents (agent ids): null means no such restriction.
ALTER TABLE api_tokens ADD COLUMN scopes TEXT;
ALTER TABLE api_tokens ADD COLUMN addresses TEXT;
ALTER TABLE api_tokens ADD COLUMN agents TEXT;
ALTER TABLE api_tokens ADD COLUMN last_address TEXT;
ALTER TABLE api_tokens ADD COLUMN last_agent TEXT;

CREATE INDEX api_tokens_by_user ON api_tokens (tenant_id, user_id) WHERE user_id IS NOT NULL;

-- Where a signed-in browser was seen inside a tenant. A session names no tenant, so without this its list would show a
-- tenant what its people do elsewhere.
CREATE TABLE session_uses (
  tenant_id TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  session_id TEXT NOT NULL REFERENCES browser_sessions (id) ON DELETE CASCADE,
  last_used_at_ms INTEGER NOT NULL,
  address TEXT,
  agent TEXT,
  PRIMARY KEY (tenant_id, session_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX session_uses_by_session ON session_uses (session_id);

CREATE TRIGGER members_signed_out AFTER UPDATE OF valid_after_ms ON members
WHEN NEW.valid_after_ms <> OLD.valid_after_ms BEGIN
  INSERT INTO access_changes (tenant_id, user_id) VALUES (NEW.tenant_id, NULL);
END;

-- The feed is read by number; what is tidied away is found by that alone.
DROP TRIGGER access_changes_bounded;
CREATE TRIGGER access_changes_bounded AFTER INSERT ON access_changes WHEN NEW.seq % 256 = 0 BEGIN
  DELETE FROM access_changes WHERE seq <= NEW.seq - 4096;
END;
