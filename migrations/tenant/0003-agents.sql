CREATE TABLE agents (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  emoji TEXT,
  avatar TEXT,
  model TEXT,
  tools_allowed TEXT NOT NULL CHECK (json_valid(tools_allowed)),
  created_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE model_providers (
  id TEXT PRIMARY KEY,
  base_url TEXT NOT NULL,
  api_key_sealed TEXT,
  models TEXT NOT NULL CHECK (json_valid(models)),
  created_at_ms INTEGER NOT NULL,
  updated_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE memories (
  id INTEGER PRIMARY KEY,
  agent_id TEXT NOT NULL,
  text TEXT NOT NULL,
  author TEXT NOT NULL,
  created_at_ms INTEGER NOT NULL
) STRICT;

CREATE INDEX memories_by_agent ON memories (agent_id, id);

CREATE VIRTUAL TABLE memories_text USING fts5 (
  text, content = 'memories', content_rowid = 'id', tokenize = 'trigram'
);
