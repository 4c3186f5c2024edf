-- The whole schema as it is now (PRAGMA user_version = 7).
-- Instants are milliseconds since the Unix epoch, UTC. Columns named *_json hold what the
-- domain stores whole; the columns beside them are there to be searched by.

CREATE TABLE hosts (
    id           TEXT PRIMARY KEY,
    profile_json TEXT NOT NULL,
    facts_json   TEXT NOT NULL,
    last_seen    INTEGER,
    created_at   INTEGER NOT NULL
) STRICT;

-- Tokens of hosts, stored only as their SHA-256. The newest of a host never expires; the one
-- before does, and so does the shared token for a host that had none of its own.
-- Names that users removed: refused, whatever token they come with, until somebody adds them again.
CREATE TABLE removed_hosts (
    id         TEXT PRIMARY KEY,
    removed_at INTEGER NOT NULL
) STRICT;

CREATE TABLE host_tokens (
    token_hash   BLOB PRIMARY KEY,
    host_id      TEXT NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    shared_until INTEGER
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
-- In the order in which they were stored: ids are made by a clock that anybody can set.
CREATE INDEX commands_by_host ON commands (host_id);
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

-- The audit log. It outlives the hosts it is about. Entries are only added: each has a hash of itself
-- and of the one before it.
CREATE TABLE events (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    at         INTEGER NOT NULL,
    host_id    TEXT,
    category   TEXT NOT NULL,
    message    TEXT NOT NULL,
    by_whom    TEXT,
    from_where TEXT,
    result     TEXT,
    hash       BLOB NOT NULL,
    command_id TEXT
) STRICT;
CREATE INDEX events_by_host ON events (host_id, id DESC);
CREATE INDEX events_at ON events (at);

-- The last entry that retention removed, one row. Entries up to `began` are from before the chain: their
-- numbers may have gaps.
CREATE TABLE audit_anchor (
    id    INTEGER NOT NULL,
    hash  BLOB NOT NULL,
    began INTEGER NOT NULL
) STRICT;
INSERT INTO audit_anchor VALUES (0, zeroblob(32), 0);
CREATE TRIGGER events_are_not_changed BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER events_are_not_removed BEFORE DELETE ON events
WHEN OLD.id > (SELECT id FROM audit_anchor)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;

CREATE TABLE sessions (
    token_hash   BLOB PRIMARY KEY,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    address      TEXT NOT NULL,
    browser      TEXT NOT NULL
) STRICT;

-- The scope is read, operate or admin.
CREATE TABLE api_tokens (
    token_hash   BLOB PRIMARY KEY,
    name         TEXT NOT NULL,
    scope        TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    last_used_at INTEGER
) STRICT;

CREATE TABLE settings (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

-- What has happened and was not looked at by the notifier yet.
CREATE TABLE notices (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    kind        TEXT NOT NULL,
    notice_json TEXT NOT NULL
) STRICT;

CREATE TRIGGER notice_of_a_command AFTER UPDATE OF state ON commands
WHEN NEW.live = 0 AND NEW.state <> OLD.state AND NEW.op IN ('switch', 'pull-switch', 'rollback')
BEGIN
    INSERT INTO notices (kind, notice_json) VALUES ('command', NEW.command_json);
END;

-- Before, because a rollout that is saved again is replaced.
CREATE TRIGGER notice_of_a_rollout BEFORE INSERT ON rollouts
WHEN NEW.finished_at IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM rollouts WHERE id = NEW.id AND finished_at IS NOT NULL
)
BEGIN
    INSERT INTO notices (kind, notice_json) VALUES ('rollout', NEW.rollout_json);
END;

CREATE TRIGGER notice_of_a_login AFTER INSERT ON events WHEN NEW.category = 'login'
BEGIN
    INSERT INTO notices (kind, notice_json)
    VALUES ('login', json_object('at', NEW.at, 'message', NEW.message));
END;
