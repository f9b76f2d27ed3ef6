-- Records of acts whose commit is in this file, on their way into the tenants' own chains; removed when they are there.
CREATE TABLE audit_outbox (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  tenant_id TEXT NOT NULL,
  record TEXT NOT NULL
) STRICT;

CREATE INDEX audit_outbox_by_tenant ON audit_outbox (tenant_id, seq);

-- How, when and from where a browser signed in. auth_at_ms: when the person last proved who they are.
ALTER TABLE browser_sessions ADD COLUMN auth_at_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE browser_sessions ADD COLUMN method TEXT NOT NULL DEFAULT 'link';
ALTER TABLE browser_sessions ADD COLUMN address TEXT;
ALTER TABLE browser_sessions ADD COLUMN agent TEXT;

UPDATE browser_sessions SET auth_at_ms = created_at_ms;
