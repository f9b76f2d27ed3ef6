-- Credit that ends stays listed until nothing of it is left and nothing can come back. What must wait is looked at later,
-- so that it keeps nothing else from its turn.

ALTER TABLE credit_expiries ADD COLUMN look_at_ms INTEGER NOT NULL DEFAULT 0;
-- When it was announced; the credit follows.
ALTER TABLE credit_expiries ADD COLUMN made_at_ms INTEGER NOT NULL DEFAULT 0;
UPDATE credit_expiries SET look_at_ms = expires_at_ms;

DROP INDEX credit_expiries_by_time;
CREATE INDEX credit_expiries_by_look ON credit_expiries (look_at_ms);
