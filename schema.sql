-- The whole schema as it is now (PRAGMA user_version = 3).
-- Instants are milliseconds since the Unix epoch, UTC. Columns named *_json hold what the
-- domain stores whole; the columns beside them are there to be searched by.

CREATE TABLE hosts (
    id           TEXT PRIMARY KEY,
    profile_json TEXT NOT NULL,
    facts_json   TEXT NOT NULL,
    last_seen    INTEGER,
    created_at   INTEGER NOT NULL
) STRICT;

-- One token per host, stored only as its SHA-256.
CREATE TABLE host_tokens (
    token_hash BLOB PRIMARY KEY,
    host_id    TEXT NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX host_tokens_by_host ON host_tokens (host_id);

CREATE TABLE commands (
    id           TEXT PRIMARY KEY,
    host_id      TEXT NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    op           TEXT NOT NULL,
    state        TEXT NOT NULL,
    live         INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    finished_at  INTEGER,
    command_json TEXT NOT NULL
) STRICT;
CREATE INDEX commands_by_host ON commands (host_id, id DESC);
CREATE INDEX commands_live ON commands (host_id) WHERE live = 1;
CREATE INDEX commands_finished ON commands (finished_at);

-- The journal: every state a command entered, and why.
CREATE TABLE transitions (
    command_id TEXT NOT NULL REFERENCES commands (id) ON DELETE CASCADE,
    seq        INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    state      TEXT NOT NULL,
    reason     TEXT,
    PRIMARY KEY (command_id, seq)
) STRICT, WITHOUT ROWID;

-- Output, a row per batch. Lines are numbered from first_seq without a gap.
CREATE TABLE output (
    command_id TEXT NOT NULL REFERENCES commands (id) ON DELETE CASCADE,
    first_seq  INTEGER NOT NULL,
    last_seq   INTEGER NOT NULL,
    lines      BLOB NOT NULL,
    PRIMARY KEY (command_id, first_seq)
) STRICT;

-- The history of what ran on a host. It outlives the commands.
CREATE TABLE deployments (
    command_id  TEXT PRIMARY KEY,
    host_id     TEXT NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    ended_at    INTEGER NOT NULL,
    deploy_json TEXT NOT NULL
) STRICT;
CREATE INDEX deployments_by_host ON deployments (host_id, ended_at DESC);

CREATE TABLE test_runs (
    command_id TEXT PRIMARY KEY REFERENCES commands (id) ON DELETE CASCADE,
    host_id    TEXT NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    ended_at   INTEGER NOT NULL,
    run_json   TEXT NOT NULL
) STRICT;
CREATE INDEX test_runs_by_host ON test_runs (host_id, ended_at DESC);

CREATE TABLE test_results (
    command_id  TEXT NOT NULL REFERENCES commands (id) ON DELETE CASCADE,
    position    INTEGER NOT NULL,
    result_json TEXT NOT NULL,
    PRIMARY KEY (command_id, position)
) STRICT;

-- Several steps on several hosts, as they are now.
CREATE TABLE rollouts (
    id           TEXT PRIMARY KEY,
    live         INTEGER NOT NULL,
    finished_at  INTEGER,
    rollout_json TEXT NOT NULL
) STRICT;
CREATE INDEX rollouts_live ON rollouts (id) WHERE live = 1;

-- The audit log. It outlives the hosts it is about.
CREATE TABLE events (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    at       INTEGER NOT NULL,
    host_id  TEXT,
    category TEXT NOT NULL,
    message  TEXT NOT NULL,
    by_whom  TEXT
) STRICT;
CREATE INDEX events_by_host ON events (host_id, id DESC);
CREATE INDEX events_at ON events (at);

CREATE TABLE sessions (
    token_hash BLOB PRIMARY KEY,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

CREATE TABLE api_tokens (
    token_hash BLOB PRIMARY KEY,
    name       TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE settings (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;
