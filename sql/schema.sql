-- The schema's history, top to bottom. A version is applied whole or not at all on SQLite; on MySQL, where every DDL
-- statement commits by itself, each statement can be repeated, so that an interrupted upgrade is simply run again.

-- version 1: people, their sessions, and what is known about each login
-- on sqlite
CREATE TABLE IF NOT EXISTS schema_version (
    version         INTEGER NOT NULL PRIMARY KEY,
    applied_at      INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS user (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    appid           TEXT    NOT NULL,
    openid          TEXT    NOT NULL,
    unionid         TEXT,
    nickname        TEXT,
    avatar_url      TEXT,
    phone           TEXT,
    create_time     INTEGER NOT NULL,
    last_login_time INTEGER NOT NULL,
    state           TEXT    NOT NULL DEFAULT 'active',
    blocked_until   INTEGER,
    block_reason    TEXT,
    generation      INTEGER NOT NULL DEFAULT 0,
    UNIQUE (appid, openid)
) STRICT;
CREATE INDEX IF NOT EXISTS user_by_unionid ON user (unionid) WHERE unionid IS NOT NULL;
CREATE TABLE IF NOT EXISTS blocked_person (
    person          BLOB    NOT NULL PRIMARY KEY,
    appid           TEXT    NOT NULL,
    blocked_until   INTEGER,
    block_reason    TEXT
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS epoch (
    appid           TEXT    NOT NULL PRIMARY KEY,
    counter         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS session (
    id              BLOB    NOT NULL PRIMARY KEY,
    user_id         INTEGER NOT NULL,
    appid           TEXT    NOT NULL,
    epoch           INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    ends_at         INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL,
    opened_us       INTEGER NOT NULL,
    sealed_key      BLOB,
    reason          TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS session_by_user ON session (user_id, expires_at);
CREATE INDEX IF NOT EXISTS session_by_app ON session (appid, epoch, expires_at);
CREATE INDEX IF NOT EXISTS session_by_expiry ON session (expires_at);
CREATE TABLE IF NOT EXISTS code_claim (
    code_hash       BLOB    NOT NULL PRIMARY KEY,
    expires_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS code_claim_by_expiry ON code_claim (expires_at);
CREATE TABLE IF NOT EXISTS tally (
    name            TEXT    NOT NULL PRIMARY KEY,
    n               INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tally_by_expiry ON tally (expires_at);
CREATE TABLE IF NOT EXISTS login (
    id              BLOB    NOT NULL PRIMARY KEY,
    user_id         INTEGER NOT NULL,
    appid           TEXT    NOT NULL,
    ip              TEXT,
    platform        TEXT,
    version         TEXT,
    environment     TEXT,
    created_at      INTEGER NOT NULL,
    seen_at         INTEGER NOT NULL,
    ended_at        INTEGER,
    reason          TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS login_by_time ON login (created_at, id);
CREATE INDEX IF NOT EXISTS login_by_user ON login (user_id, created_at);
-- on mysql
CREATE TABLE IF NOT EXISTS schema_version (
    version         INTEGER      NOT NULL PRIMARY KEY,
    applied_at      BIGINT       NOT NULL
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE IF NOT EXISTS user (
    id              BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    appid           VARCHAR(32)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    openid          VARCHAR(64)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    unionid         VARCHAR(64)  CHARACTER SET ascii COLLATE ascii_bin,
    nickname        VARCHAR(64),
    avatar_url      VARCHAR(512),
    phone           VARCHAR(32)  CHARACTER SET ascii COLLATE ascii_bin,
    create_time     BIGINT       NOT NULL,
    last_login_time BIGINT       NOT NULL,
    state           VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'active',
    blocked_until   BIGINT,
    block_reason    VARCHAR(200),
    generation      BIGINT       NOT NULL DEFAULT 0,
    UNIQUE KEY user_by_openid (appid, openid),
    KEY user_by_unionid (unionid)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE IF NOT EXISTS blocked_person (
    person          BINARY(32)   NOT NULL PRIMARY KEY,
    appid           VARCHAR(32)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    blocked_until   BIGINT,
    block_reason    VARCHAR(200)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE IF NOT EXISTS epoch (
    appid           VARCHAR(32)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    counter         BIGINT       NOT NULL
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE IF NOT EXISTS session (
    id              BINARY(32)   NOT NULL PRIMARY KEY,
    user_id         BIGINT UNSIGNED NOT NULL,
    appid           VARCHAR(32)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    epoch           BIGINT       NOT NULL,
    created_at      BIGINT       NOT NULL,
    ends_at         BIGINT       NOT NULL,
    expires_at      BIGINT       NOT NULL,
    opened_us       BIGINT       NOT NULL,
    sealed_key      VARBINARY(64),
    reason          VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin,
    KEY session_by_user (user_id, expires_at),
    KEY session_by_app (appid, epoch, expires_at),
    KEY session_by_expiry (expires_at)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE IF NOT EXISTS code_claim (
    code_hash       BINARY(32)   NOT NULL PRIMARY KEY,
    expires_at      BIGINT       NOT NULL,
    KEY code_claim_by_expiry (expires_at)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE IF NOT EXISTS tally (
    name            VARCHAR(64)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    n               BIGINT       NOT NULL,
    expires_at      BIGINT       NOT NULL,
    KEY tally_by_expiry (expires_at)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE IF NOT EXISTS login (
    id              BINARY(32)   NOT NULL PRIMARY KEY,
    user_id         BIGINT UNSIGNED NOT NULL,
    appid           VARCHAR(32)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    ip              VARCHAR(45)  CHARACTER SET ascii COLLATE ascii_bin,
    platform        VARCHAR(32)  CHARACTER SET ascii COLLATE ascii_bin,
    version         VARCHAR(32)  CHARACTER SET ascii COLLATE ascii_bin,
    environment     VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin,
    created_at      BIGINT       NOT NULL,
    seen_at         BIGINT       NOT NULL,
    ended_at        BIGINT,
    reason          VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin,
    KEY login_by_time (created_at, id),
    KEY login_by_user (user_id, created_at)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- version 2: what operators and the shell did, in a chain that shows when a link is missing
-- on sqlite
CREATE TABLE IF NOT EXISTS audit (
    n               INTEGER NOT NULL PRIMARY KEY,
    at              INTEGER NOT NULL,
    actor           TEXT    NOT NULL,
    address         TEXT,
    request_id      TEXT,
    deed            TEXT    NOT NULL,
    result          TEXT    NOT NULL,
    target          TEXT,
    appid           TEXT,
    count           INTEGER,
    reason          TEXT,
    concerns        INTEGER,
    link            BLOB    NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS audit_by_time ON audit (at, n);
CREATE TABLE IF NOT EXISTS audit_head (
    id              INTEGER NOT NULL PRIMARY KEY,
    n               INTEGER NOT NULL,
    link            BLOB    NOT NULL
) STRICT;
INSERT INTO audit_head (id, n, link) VALUES (1, 0, zeroblob(32)) ON CONFLICT (id) DO NOTHING;
CREATE TRIGGER IF NOT EXISTS audit_is_not_changed BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit rows are not changed'); END;
CREATE TRIGGER IF NOT EXISTS audit_is_not_deleted BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit rows are not deleted'); END;
-- on mysql
CREATE TABLE IF NOT EXISTS audit (
    n               BIGINT       NOT NULL PRIMARY KEY,
    at              BIGINT       NOT NULL,
    actor           VARCHAR(80)  NOT NULL,
    address         VARCHAR(45)  CHARACTER SET ascii COLLATE ascii_bin,
    request_id      VARCHAR(64)  CHARACTER SET ascii COLLATE ascii_bin,
    deed            VARCHAR(40)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    result          VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    target          VARCHAR(200),
    appid           VARCHAR(32)  CHARACTER SET ascii COLLATE ascii_bin,
    count           BIGINT,
    reason          VARCHAR(200),
    concerns        BIGINT,
    link            BINARY(32)   NOT NULL,
    KEY audit_by_time (at, n)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE IF NOT EXISTS audit_head (
    id              INTEGER      NOT NULL PRIMARY KEY,
    n               BIGINT       NOT NULL,
    link            BINARY(32)   NOT NULL
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
INSERT INTO audit_head (id, n, link) VALUES (1, 0, REPEAT(CHAR(0), 32)) ON DUPLICATE KEY UPDATE id = id;
