-- Tokens of an answer that were thought and not said, where the provider tells them apart. They are part of
-- output_tokens and may have a price of their own; without them nobody could work out what a call cost. Calls from before
-- have none, and kept their price.

ALTER TABLE usage_events ADD COLUMN reasoning_tokens INTEGER NOT NULL DEFAULT 0
  CHECK (reasoning_tokens BETWEEN 0 AND output_tokens);
