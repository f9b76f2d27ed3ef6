-- Statements, exports of usage, payments, redemption codes and reconciliation, as far as they belong to the deployment.

-- The month in which a tenant was last looked at for months to close.
CREATE TABLE statement_marks (
  tenant_id TEXT PRIMARY KEY,
  looked_month TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Where usage is sent. tenant_id is empty for the operator's own export, which is about every tenant.
CREATE TABLE usage_exports (
  tenant_id TEXT PRIMARY KEY,
  url TEXT NOT NULL,
  -- Sealed with the tenant's key; the operator's is in the configuration.
  secret_sealed TEXT NOT NULL,
  made_at_ms INTEGER NOT NULL,
  by_user TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- How far each export is, for each tenant whose usage it sends.
CREATE TABLE usage_export_cursors (
  export_of TEXT NOT NULL,
  tenant_id TEXT NOT NULL,
  -- Newest event that the other side has confirmed.
  cursor_seq INTEGER NOT NULL,
  -- End of the message under way, so that it is sent again with the same contents and name; null for none.
  pending_seq INTEGER,
  failures INTEGER NOT NULL DEFAULT 0,
  next_at_ms INTEGER NOT NULL DEFAULT 0,
  last_sent_at_ms INTEGER,
  last_error TEXT,
  PRIMARY KEY (export_of, tenant_id)
) STRICT, WITHOUT ROWID;

-- What is new, for exports.
CREATE INDEX usage_daily_marks_by_push ON usage_daily_marks (pushed_at_ms);

-- What somebody set out to pay. What a payment provider reports counts only when it says the same as the order.
CREATE TABLE payment_orders (
  id TEXT PRIMARY KEY,
  tenant_id TEXT NOT NULL,
  provider TEXT NOT NULL,
  amount_micros INTEGER NOT NULL CHECK (amount_micros > 0),
  currency TEXT NOT NULL,
  by_user TEXT NOT NULL,
  made_at_ms INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('open', 'paid')),
  paid_at_ms INTEGER,
  -- The provider's own name of the payment.
  payment_id TEXT
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX payment_orders_by_payment ON payment_orders (provider, payment_id) WHERE payment_id IS NOT NULL;

CREATE TRIGGER payment_orders_bound BEFORE UPDATE ON payment_orders
WHEN OLD.state = 'paid' OR NEW.tenant_id <> OLD.tenant_id OR NEW.provider <> OLD.provider
  OR NEW.amount_micros <> OLD.amount_micros OR NEW.currency <> OLD.currency OR NEW.id <> OLD.id
BEGIN
  SELECT RAISE(ABORT, 'an order is what it was made for');
END;

-- Codes are kept as hashes; each counts once.
CREATE TABLE redemption_codes (
  hash TEXT PRIMARY KEY,
  amount_micros INTEGER NOT NULL CHECK (amount_micros > 0),
  currency TEXT NOT NULL,
  made_at_ms INTEGER NOT NULL,
  made_by TEXT NOT NULL,
  -- After this the code cannot be redeemed, and what was redeemed by it is gone; null for never.
  expires_at_ms INTEGER,
  redeemed_by TEXT,
  redeemed_at_ms INTEGER
) STRICT, WITHOUT ROWID;

CREATE TRIGGER redemption_codes_once BEFORE UPDATE ON redemption_codes
WHEN OLD.redeemed_by IS NOT NULL OR NEW.amount_micros <> OLD.amount_micros OR NEW.currency <> OLD.currency
BEGIN
  SELECT RAISE(ABORT, 'a code counts once');
END;

-- What a provider's own figures and ours say differently, by name; the newest comparison of each day replaces older ones.
CREATE TABLE reconciliations (
  provider TEXT NOT NULL,
  key_owner TEXT NOT NULL,
  day TEXT NOT NULL,
  compared_at_ms INTEGER NOT NULL,
  is_within INTEGER NOT NULL CHECK (is_within IN (0, 1)),
  findings TEXT NOT NULL CHECK (json_valid(findings)),
  PRIMARY KEY (provider, key_owner, day)
) STRICT, WITHOUT ROWID;

-- Credit that ends, until it has.
CREATE TABLE credit_expiries (
  tenant_id TEXT NOT NULL,
  -- The ledger line that gave it.
  line_id TEXT NOT NULL,
  expires_at_ms INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, line_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX credit_expiries_by_time ON credit_expiries (expires_at_ms);
