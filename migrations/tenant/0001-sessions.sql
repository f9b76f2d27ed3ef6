-- Conversations. The text lives in agents/<agent>/sessions/<session>.jsonl; `journals` says how much of it counts.

CREATE TABLE sessions (
  key TEXT PRIMARY KEY,
  agent_id TEXT NOT NULL,
  session_id TEXT NOT NULL UNIQUE,
  created_at_ms INTEGER NOT NULL,
  updated_at_ms INTEGER NOT NULL,
  created_by TEXT NOT NULL,
  channel TEXT NOT NULL,
  label TEXT,
  title TEXT,
  last_message TEXT,
  pinned INTEGER NOT NULL DEFAULT 0,
  archived INTEGER NOT NULL DEFAULT 0,
  unread_at_ms INTEGER,
  last_read_at_ms INTEGER,
  model TEXT,
  thinking_level TEXT,
  status TEXT CHECK (status IN ('running', 'done', 'failed', 'killed')),
  last_run_id TEXT,
  run_started_at_ms INTEGER,
  run_ended_at_ms INTEGER,
  input_tokens INTEGER NOT NULL DEFAULT 0,
  output_tokens INTEGER NOT NULL DEFAULT 0,
  context_tokens_used INTEGER NOT NULL DEFAULT 0,
  model_provider TEXT,
  model_id TEXT,
  -- The newest compaction row, and the first row after it that the model still sees verbatim.
  summary_seq INTEGER,
  kept_from_seq INTEGER NOT NULL DEFAULT 1
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_by_time ON sessions (archived, updated_at_ms DESC, key);
CREATE INDEX sessions_by_agent ON sessions (agent_id, archived, updated_at_ms DESC, key);
CREATE UNIQUE INDEX sessions_by_label ON sessions (label) WHERE label IS NOT NULL;

-- How many sessions there are, without counting them.
CREATE TABLE session_counts (
  agent_id TEXT NOT NULL,
  archived INTEGER NOT NULL,
  n INTEGER NOT NULL,
  PRIMARY KEY (agent_id, archived)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER sessions_counted AFTER INSERT ON sessions BEGIN
  INSERT INTO session_counts VALUES (new.agent_id, new.archived, 1)
    ON CONFLICT (agent_id, archived) DO UPDATE SET n = n + 1;
END;

CREATE TRIGGER sessions_uncounted AFTER DELETE ON sessions BEGIN
  UPDATE session_counts SET n = n - 1 WHERE agent_id = old.agent_id AND archived = old.archived;
END;

CREATE TRIGGER sessions_recounted AFTER UPDATE OF archived ON sessions WHEN old.archived <> new.archived BEGIN
  UPDATE session_counts SET n = n - 1 WHERE agent_id = old.agent_id AND archived = old.archived;
  INSERT INTO session_counts VALUES (new.agent_id, new.archived, 1)
    ON CONFLICT (agent_id, archived) DO UPDATE SET n = n + 1;
END;

-- Where each transcript row is: one line of the file, from `start` for `length` bytes.
CREATE TABLE messages (
  session_id TEXT NOT NULL,
  seq INTEGER NOT NULL,
  id TEXT NOT NULL,
  role TEXT NOT NULL,
  run_id TEXT,
  start INTEGER NOT NULL,
  length INTEGER NOT NULL,
  at_ms INTEGER NOT NULL,
  PRIMARY KEY (session_id, seq)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX messages_by_id ON messages (session_id, id);
CREATE INDEX messages_by_run ON messages (run_id) WHERE run_id IS NOT NULL;

-- Runs, which are also the idempotency table of chat inputs: run_id is the caller's idempotency key.
CREATE TABLE runs (
  run_id TEXT PRIMARY KEY,
  input_hash TEXT NOT NULL,
  session_key TEXT NOT NULL,
  session_id TEXT NOT NULL,
  agent_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  channel TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'aborted')),
  -- The input while it waits behind another run; null once it is a transcript row.
  pending_input TEXT,
  settings TEXT NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  accepted_at_ms INTEGER NOT NULL,
  started_at_ms INTEGER,
  ended_at_ms INTEGER,
  stop_reason TEXT,
  error_code TEXT,
  error_message TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX runs_open ON runs (state, accepted_at_ms) WHERE state IN ('queued', 'running');
CREATE INDEX runs_by_session ON runs (session_key, accepted_at_ms);
CREATE INDEX runs_by_end ON runs (ended_at_ms) WHERE ended_at_ms IS NOT NULL;

-- Tool calls, written before they run and after: what is in between after a crash is uncertain, and never run again
-- unless the tool says that twice is the same as once.
CREATE TABLE run_steps (
  run_id TEXT NOT NULL,
  step INTEGER NOT NULL,
  call_id TEXT NOT NULL,
  tool TEXT NOT NULL,
  arguments_hash TEXT NOT NULL,
  is_idempotent INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('intent', 'done', 'uncertain')),
  started_at_ms INTEGER NOT NULL,
  ended_at_ms INTEGER,
  PRIMARY KEY (run_id, step, call_id)
) STRICT, WITHOUT ROWID;
