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

-- version 3: the dashboard: operators, what their lists are sorted and searched by, and the figures of the overview
-- on sqlite
CREATE TABLE IF NOT EXISTS operator (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    name            TEXT    NOT NULL UNIQUE,
    role            TEXT    NOT NULL,
    appids          TEXT,
    state           TEXT    NOT NULL DEFAULT 'active',
    password        TEXT,
    password_at     INTEGER,
    totp            BLOB,
    totp_step       INTEGER NOT NULL DEFAULT 0,
    language        TEXT,
    timezone        TEXT,
    created_at      INTEGER NOT NULL,
    seen_at         INTEGER
) STRICT;
CREATE TABLE IF NOT EXISTS operator_session (
    id              BLOB    NOT NULL PRIMARY KEY,
    operator_id     INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    seen_at         INTEGER NOT NULL,
    confirmed_at    INTEGER NOT NULL,
    address         TEXT,
    device          TEXT,
    flash           TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS operator_session_by_operator ON operator_session (operator_id, seen_at);
CREATE INDEX IF NOT EXISTS operator_session_by_time ON operator_session (seen_at);
CREATE TABLE IF NOT EXISTS operator_link (
    id              BLOB    NOT NULL PRIMARY KEY,
    operator_id     INTEGER,
    expires_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS operator_link_by_operator ON operator_link (operator_id);
CREATE TABLE IF NOT EXISTS operator_device (
    id              BLOB    NOT NULL PRIMARY KEY,
    operator_id     INTEGER NOT NULL,
    created_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS operator_device_by_operator ON operator_device (operator_id, created_at);
CREATE TABLE IF NOT EXISTS recovery_code (
    id              BLOB    NOT NULL PRIMARY KEY,
    operator_id     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS recovery_code_by_operator ON recovery_code (operator_id);
CREATE TABLE IF NOT EXISTS signin_attempt (
    id              BLOB    NOT NULL PRIMARY KEY,
    failures        INTEGER NOT NULL,
    next_at         INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS signin_attempt_by_expiry ON signin_attempt (expires_at);
CREATE TABLE IF NOT EXISTS refused_login (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    at              INTEGER NOT NULL,
    appid           TEXT    NOT NULL,
    errcode         INTEGER NOT NULL,
    ip              TEXT,
    platform        TEXT,
    version         TEXT,
    environment     TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS refused_login_by_time ON refused_login (at, id);
CREATE INDEX IF NOT EXISTS refused_login_by_errcode ON refused_login (errcode, at, id);
CREATE TABLE IF NOT EXISTS figure (
    appid           TEXT    NOT NULL,
    name            TEXT    NOT NULL,
    hour            INTEGER NOT NULL,
    n               INTEGER NOT NULL,
    PRIMARY KEY (appid, name, hour)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS figure_by_hour ON figure (hour);
INSERT INTO figure (appid, name, hour, n) SELECT appid, 'users', 0, COUNT(*) FROM user GROUP BY appid;
ALTER TABLE user ADD COLUMN note TEXT;
ALTER TABLE user ADD COLUMN seen_day INTEGER NOT NULL DEFAULT 0;
ALTER TABLE user ADD COLUMN phone_tail TEXT GENERATED ALWAYS AS (substr(phone, -4)) VIRTUAL;
CREATE INDEX IF NOT EXISTS user_by_time ON user (create_time, id);
CREATE INDEX IF NOT EXISTS user_by_state ON user (state, id);
CREATE INDEX IF NOT EXISTS user_by_nickname ON user (nickname, id);
CREATE INDEX IF NOT EXISTS user_by_phone_tail ON user (phone_tail, id);
ALTER TABLE session ADD COLUMN undo_by TEXT;
ALTER TABLE session ADD COLUMN undo_until INTEGER;
ALTER TABLE session ADD COLUMN undo_expires_at INTEGER;
CREATE INDEX IF NOT EXISTS session_by_undo ON session (undo_until) WHERE undo_until IS NOT NULL;
ALTER TABLE epoch ADD COLUMN raised_at INTEGER;
ALTER TABLE login ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;
ALTER TABLE login ADD COLUMN address BLOB;
ALTER TABLE login ADD COLUMN device TEXT;
ALTER TABLE login ADD COLUMN wechat TEXT;
UPDATE login SET epoch = COALESCE((SELECT e.counter FROM epoch e WHERE e.appid = login.appid), 0);
CREATE INDEX IF NOT EXISTS login_by_end ON login (ended_at, created_at, id);
CREATE INDEX IF NOT EXISTS login_by_use ON login (ended_at, seen_at, id);
CREATE INDEX IF NOT EXISTS login_by_address ON login (address, created_at, id);
CREATE INDEX IF NOT EXISTS login_by_version ON login (version, created_at, id);
CREATE INDEX IF NOT EXISTS login_by_platform ON login (platform, created_at, id);
CREATE INDEX IF NOT EXISTS login_by_environment ON login (environment, created_at, id);
CREATE INDEX IF NOT EXISTS audit_by_actor ON audit (actor, n);
CREATE INDEX IF NOT EXISTS audit_by_target ON audit (target, n);
-- on mysql
CREATE TABLE IF NOT EXISTS operator (
    id              BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    name            VARCHAR(64)  NOT NULL,
    role            VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    appids          VARCHAR(2000) CHARACTER SET ascii COLLATE ascii_bin,
    state           VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'active',
    password        VARCHAR(200) CHARACTER SET ascii COLLATE ascii_bin,
    password_at     BIGINT,
    totp            VARBINARY(120),
    totp_step       BIGINT       NOT NULL DEFAULT 0,
    language        VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin,
    timezone        VARCHAR(64)  CHARACTER SET ascii COLLATE ascii_bin,
    created_at      BIGINT       NOT NULL,
    seen_at         BIGINT,
    UNIQUE KEY operator_by_name (name)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE IF NOT EXISTS operator_session (
    id              BINARY(32)   NOT NULL PRIMARY KEY,
    operator_id     BIGINT UNSIGNED NOT NULL,
    created_at      BIGINT       NOT NULL,
    seen_at         BIGINT       NOT NULL,
    confirmed_at    BIGINT       NOT NULL,
    address         VARCHAR(45)  CHARACTER SET ascii COLLATE ascii_bin,
    device          VARCHAR(200),
    flash           TEXT,
    KEY operator_session_by_operator (operator_id, seen_at),
    KEY operator_session_by_time (seen_at)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE IF NOT EXISTS operator_link (
    id              BINARY(32)   NOT NULL PRIMARY KEY,
    operator_id     BIGINT UNSIGNED,
    expires_at      BIGINT       NOT NULL,
    KEY operator_link_by_operator (operator_id)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE IF NOT EXISTS operator_device (
    id              BINARY(32)   NOT NULL PRIMARY KEY,
    operator_id     BIGINT UNSIGNED NOT NULL,
    created_at      BIGINT       NOT NULL,
    KEY operator_device_by_operator (operator_id, created_at)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE IF NOT EXISTS recovery_code (
    id              BINARY(32)   NOT NULL PRIMARY KEY,
    operator_id     BIGINT UNSIGNED NOT NULL,
    KEY recovery_code_by_operator (operator_id)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE IF NOT EXISTS signin_attempt (
    id              BINARY(32)   NOT NULL PRIMARY KEY,
    failures        INTEGER      NOT NULL,
    next_at         BIGINT       NOT NULL,
    expires_at      BIGINT       NOT NULL,
    KEY signin_attempt_by_expiry (expires_at)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE IF NOT EXISTS refused_login (
    id              BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    at              BIGINT       NOT NULL,
    appid           VARCHAR(32)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    errcode         INTEGER      NOT NULL,
    ip              VARCHAR(45)  CHARACTER SET ascii COLLATE ascii_bin,
    platform        VARCHAR(32)  CHARACTER SET ascii COLLATE ascii_bin,
    version         VARCHAR(32)  CHARACTER SET ascii COLLATE ascii_bin,
    environment     VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin,
    KEY refused_login_by_time (at, id),
    KEY refused_login_by_errcode (errcode, at, id)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE IF NOT EXISTS figure (
    appid           VARCHAR(32)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    name            VARCHAR(64)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    hour            BIGINT       NOT NULL,
    n               BIGINT       NOT NULL,
    PRIMARY KEY (appid, name, hour),
    KEY figure_by_hour (hour)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
INSERT INTO figure (appid, name, hour, n) SELECT appid, 'users', 0, COUNT(*) FROM user GROUP BY appid
    ON DUPLICATE KEY UPDATE n = VALUES(n);
ALTER TABLE user ADD COLUMN note VARCHAR(500);
ALTER TABLE user ADD COLUMN seen_day BIGINT NOT NULL DEFAULT 0;
ALTER TABLE user ADD COLUMN phone_tail VARCHAR(4) CHARACTER SET ascii COLLATE ascii_bin GENERATED ALWAYS AS (RIGHT(phone, 4)) VIRTUAL;
ALTER TABLE user ADD INDEX user_by_time (create_time, id);
ALTER TABLE user ADD INDEX user_by_state (state, id);
ALTER TABLE user ADD INDEX user_by_nickname (nickname, id);
ALTER TABLE user ADD INDEX user_by_phone_tail (phone_tail, id);
ALTER TABLE session ADD COLUMN undo_by VARCHAR(80);
ALTER TABLE session ADD COLUMN undo_until BIGINT;
ALTER TABLE session ADD COLUMN undo_expires_at BIGINT;
ALTER TABLE session ADD INDEX session_by_undo (undo_until);
ALTER TABLE epoch ADD COLUMN raised_at BIGINT;
ALTER TABLE login ADD COLUMN epoch BIGINT NOT NULL DEFAULT 0;
ALTER TABLE login ADD COLUMN address BINARY(16);
ALTER TABLE login ADD COLUMN device VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin;
ALTER TABLE login ADD COLUMN wechat VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin;
UPDATE login SET epoch = COALESCE((SELECT e.counter FROM epoch e WHERE e.appid = login.appid), 0);
ALTER TABLE login ADD INDEX login_by_end (ended_at, created_at, id);
ALTER TABLE login ADD INDEX login_by_use (ended_at, seen_at, id);
ALTER TABLE login ADD INDEX login_by_address (address, created_at, id);
ALTER TABLE login ADD INDEX login_by_version (version, created_at, id);
ALTER TABLE login ADD INDEX login_by_platform (platform, created_at, id);
ALTER TABLE login ADD INDEX login_by_environment (environment, created_at, id);
ALTER TABLE audit ADD INDEX audit_by_actor (actor, n);
ALTER TABLE audit ADD INDEX audit_by_target (target, n);

-- version 4: other back ends and their keys, the shared access_token, what is told to others, and what WeChat tells us
-- on sqlite
CREATE TABLE IF NOT EXISTS service_key (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    hash            BLOB    NOT NULL UNIQUE,
    start           TEXT    NOT NULL,
    name            TEXT    NOT NULL,
    note            TEXT,
    scopes          TEXT    NOT NULL,
    appids          TEXT,
    paths           TEXT,
    created_at      INTEGER NOT NULL,
    expires_at      INTEGER,
    used_at         INTEGER,
    revoked_at      INTEGER
) STRICT;
CREATE TABLE IF NOT EXISTS access_token (
    appid           TEXT    NOT NULL PRIMARY KEY,
    sealed          BLOB,
    fetched_at      INTEGER,
    expires_at      INTEGER,
    refresher       TEXT,
    refreshing_until INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS delivery (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    target          TEXT    NOT NULL,
    event           TEXT    NOT NULL,
    body            TEXT    NOT NULL,
    state           TEXT    NOT NULL DEFAULT 'waiting',
    created_at      INTEGER NOT NULL,
    next_at         INTEGER NOT NULL,
    attempts        INTEGER NOT NULL DEFAULT 0,
    status          INTEGER,
    done_at         INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS delivery_by_turn ON delivery (state, next_at, id);
CREATE INDEX IF NOT EXISTS delivery_by_time ON delivery (created_at, id);
CREATE TABLE IF NOT EXISTS push_event (
    id              BLOB    NOT NULL PRIMARY KEY,
    appid           TEXT    NOT NULL,
    event           TEXT    NOT NULL,
    user_id         INTEGER,
    state           TEXT    NOT NULL,
    at              INTEGER NOT NULL,
    tried_at        INTEGER NOT NULL DEFAULT 0,
    done_at         INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS push_event_by_time ON push_event (at, id);
CREATE TABLE IF NOT EXISTS avatar (
    user_id         INTEGER NOT NULL PRIMARY KEY,
    name            TEXT    NOT NULL UNIQUE,
    kind            TEXT    NOT NULL,
    body            BLOB    NOT NULL,
    at              INTEGER NOT NULL
) STRICT;
ALTER TABLE user ADD COLUMN person INTEGER;
CREATE INDEX IF NOT EXISTS user_by_person ON user (person) WHERE person IS NOT NULL;
-- on mysql
CREATE TABLE IF NOT EXISTS service_key (
    id              BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    hash            BINARY(32)   NOT NULL,
    start           VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    name            VARCHAR(64)  NOT NULL,
    note            VARCHAR(200),
    scopes          VARCHAR(200) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    appids          VARCHAR(2000) CHARACTER SET ascii COLLATE ascii_bin,
    paths           VARCHAR(4000) CHARACTER SET ascii COLLATE ascii_bin,
    created_at      BIGINT       NOT NULL,
    expires_at      BIGINT,
    used_at         BIGINT,
    revoked_at      BIGINT,
    UNIQUE KEY service_key_by_hash (hash)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE IF NOT EXISTS access_token (
    appid           VARCHAR(32)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    sealed          VARBINARY(2000),
    fetched_at      BIGINT,
    expires_at      BIGINT,
    refresher       VARCHAR(64)  CHARACTER SET ascii COLLATE ascii_bin,
    refreshing_until BIGINT      NOT NULL DEFAULT 0
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE IF NOT EXISTS delivery (
    id              BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    target          VARCHAR(32)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    event           VARCHAR(40)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    body            TEXT         NOT NULL,
    state           VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'waiting',
    created_at      BIGINT       NOT NULL,
    next_at         BIGINT       NOT NULL,
    attempts        INTEGER      NOT NULL DEFAULT 0,
    status          INTEGER,
    done_at         BIGINT,
    KEY delivery_by_turn (state, next_at, id),
    KEY delivery_by_time (created_at, id)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE IF NOT EXISTS push_event (
    id              BINARY(32)   NOT NULL PRIMARY KEY,
    appid           VARCHAR(32)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    event           VARCHAR(64)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    user_id         BIGINT UNSIGNED,
    state           VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    at              BIGINT       NOT NULL,
    tried_at        BIGINT       NOT NULL DEFAULT 0,
    done_at         BIGINT,
    KEY push_event_by_time (at, id)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE IF NOT EXISTS avatar (
    user_id         BIGINT UNSIGNED NOT NULL PRIMARY KEY,
    name            VARCHAR(64)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    kind            VARCHAR(32)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    body            MEDIUMBLOB   NOT NULL,
    at              BIGINT       NOT NULL,
    UNIQUE KEY avatar_by_name (name)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
ALTER TABLE user ADD COLUMN person BIGINT UNSIGNED;
ALTER TABLE user ADD INDEX user_by_person (person);

-- version 5: the role of whoever did a deed, and pictures that wait for WeChat's verdict
-- on sqlite
ALTER TABLE audit ADD COLUMN role TEXT;
CREATE TABLE IF NOT EXISTS held_avatar (
    user_id         INTEGER NOT NULL PRIMARY KEY,
    name            TEXT    NOT NULL UNIQUE,
    kind            TEXT    NOT NULL,
    body            BLOB    NOT NULL,
    at              INTEGER NOT NULL,
    trace_id        TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS held_avatar_by_trace ON held_avatar (trace_id);
CREATE INDEX IF NOT EXISTS held_avatar_by_time ON held_avatar (at);
-- on mysql
ALTER TABLE audit ADD COLUMN role VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin;
CREATE TABLE IF NOT EXISTS held_avatar (
    user_id         BIGINT UNSIGNED NOT NULL PRIMARY KEY,
    name            VARCHAR(64)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    kind            VARCHAR(32)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    body            MEDIUMBLOB   NOT NULL,
    at              BIGINT       NOT NULL,
    trace_id        VARCHAR(64)  CHARACTER SET ascii COLLATE ascii_bin,
    UNIQUE KEY held_avatar_by_name (name),
    KEY held_avatar_by_trace (trace_id),
    KEY held_avatar_by_time (at)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
