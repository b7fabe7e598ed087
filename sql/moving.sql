-- Every table read from one database and written to another, in columns that both have; see stores/moving.py.

-- some_user: people, in order
SELECT id, appid, openid, unionid, nickname, avatar_url, phone, create_time, last_login_time, state, blocked_until,
       block_reason, generation, note, seen_day, person
FROM user WHERE id > :after ORDER BY id LIMIT :most;

-- put_user: one of them, as it was
INSERT INTO user (id, appid, openid, unionid, nickname, avatar_url, phone, create_time, last_login_time, state,
       blocked_until, block_reason, generation, note, seen_day, person)
VALUES (:id, :appid, :openid, :unionid, :nickname, :avatar_url, :phone, :create_time, :last_login_time, :state,
       :blocked_until, :block_reason, :generation, :note, :seen_day, :person);

-- some_login: logins, in order
SELECT id, user_id, appid, ip, platform, version, environment, created_at, seen_at, ended_at, reason, epoch,
       address, device, wechat
FROM login WHERE id > :after_id ORDER BY id LIMIT :most;

-- put_login: one of them, as it was
INSERT INTO login (id, user_id, appid, ip, platform, version, environment, created_at, seen_at, ended_at, reason,
       epoch, address, device, wechat)
VALUES (:id, :user_id, :appid, :ip, :platform, :version, :environment, :created_at, :seen_at, :ended_at, :reason,
       :epoch, :address, :device, :wechat);

-- some_session: sessions of the SQL engine, in order
SELECT id, user_id, appid, epoch, created_at, ends_at, expires_at, opened_us, sealed_key, reason, undo_by,
       undo_until, undo_expires_at
FROM session WHERE id > :after_id ORDER BY id LIMIT :most;

-- put_session: one of them, as it was
INSERT INTO session (id, user_id, appid, epoch, created_at, ends_at, expires_at, opened_us, sealed_key, reason,
       undo_by, undo_until, undo_expires_at)
VALUES (:id, :user_id, :appid, :epoch, :created_at, :ends_at, :expires_at, :opened_us, :sealed_key, :reason,
       :undo_by, :undo_until, :undo_expires_at);

-- some_blocked_person: persons who are kept out though they were erased, in order
SELECT person, appid, blocked_until, block_reason
FROM blocked_person WHERE person > :after_id ORDER BY person LIMIT :most;

-- put_blocked_person: one of them, as it was
INSERT INTO blocked_person (person, appid, blocked_until, block_reason)
VALUES (:person, :appid, :blocked_until, :block_reason);

-- some_refused_login: refused logins, in order
SELECT id, at, appid, errcode, ip, platform, version, environment
FROM refused_login WHERE id > :after ORDER BY id LIMIT :most;

-- put_refused_login: one of them, as it was
INSERT INTO refused_login (id, at, appid, errcode, ip, platform, version, environment)
VALUES (:id, :at, :appid, :errcode, :ip, :platform, :version, :environment);

-- some_audit: rows of the audit, in order
SELECT n, at, actor, address, request_id, deed, result, target, appid, count, reason, concerns, role, link
FROM audit WHERE n > :after ORDER BY n LIMIT :most;

-- put_audit: one of them, as it was
INSERT INTO audit (n, at, actor, address, request_id, deed, result, target, appid, count, reason, concerns, role, link)
VALUES (:n, :at, :actor, :address, :request_id, :deed, :result, :target, :appid, :count, :reason, :concerns, :role,
        :link);

-- some_avatar: pictures, in order
SELECT user_id, name, kind, body, at
FROM avatar WHERE user_id > :after ORDER BY user_id LIMIT :most;

-- put_avatar: one of them, as it was
INSERT INTO avatar (user_id, name, kind, body, at)
VALUES (:user_id, :name, :kind, :body, :at);

-- some_delivery: what is told to others, in order
SELECT id, target, event, body, state, created_at, next_at, attempts, status, done_at
FROM delivery WHERE id > :after ORDER BY id LIMIT :most;

-- put_delivery: one of them, as it was
INSERT INTO delivery (id, target, event, body, state, created_at, next_at, attempts, status, done_at)
VALUES (:id, :target, :event, :body, :state, :created_at, :next_at, :attempts, :status, :done_at);

-- some_push_event: what WeChat told, in order
SELECT id, appid, event, user_id, state, at, tried_at, done_at
FROM push_event WHERE id > :after_id ORDER BY id LIMIT :most;

-- put_push_event: one of them, as it was
INSERT INTO push_event (id, appid, event, user_id, state, at, tried_at, done_at)
VALUES (:id, :appid, :event, :user_id, :state, :at, :tried_at, :done_at);

-- every_epoch: the counters of all mini programs, in order
SELECT appid, counter, raised_at
FROM epoch ORDER BY appid;

-- put_epoch: one of them, as it was
INSERT INTO epoch (appid, counter, raised_at)
VALUES (:appid, :counter, :raised_at);

-- every_operator: every operator, in order
SELECT id, name, role, appids, state, password, password_at, totp, totp_step, language, timezone, created_at,
       seen_at
FROM operator ORDER BY id;

-- put_operator: one of them, as it was
INSERT INTO operator (id, name, role, appids, state, password, password_at, totp, totp_step, language, timezone,
       created_at, seen_at)
VALUES (:id, :name, :role, :scope, :state, :password, :password_at, :totp, :totp_step, :language, :timezone,
       :created_at, :seen_at);

-- every_operator_session: every session of an operator, in order
SELECT id, operator_id, created_at, seen_at, confirmed_at, address, device, flash
FROM operator_session ORDER BY id;

-- put_operator_session: one of them, as it was
INSERT INTO operator_session (id, operator_id, created_at, seen_at, confirmed_at, address, device, flash)
VALUES (:id, :operator_id, :created_at, :seen_at, :confirmed_at, :address, :device, :flash);

-- every_operator_link: every link that was sent, in order
SELECT id, operator_id, expires_at
FROM operator_link ORDER BY id;

-- put_operator_link: one of them, as it was
INSERT INTO operator_link (id, operator_id, expires_at)
VALUES (:id, :operator_id, :expires_at);

-- every_operator_device: every known browser, in order
SELECT id, operator_id, created_at
FROM operator_device ORDER BY id;

-- put_operator_device: one of them, as it was
INSERT INTO operator_device (id, operator_id, created_at)
VALUES (:id, :operator_id, :created_at);

-- every_recovery_code: every recovery code, in order
SELECT id, operator_id
FROM recovery_code ORDER BY id;

-- put_recovery_code: one of them, as it was
INSERT INTO recovery_code (id, operator_id)
VALUES (:id, :operator_id);

-- every_service_key: every service key, in order
SELECT id, hash, start, name, note, scopes, appids, paths, created_at, expires_at, used_at, revoked_at
FROM service_key ORDER BY id;

-- put_service_key: one of them, as it was
INSERT INTO service_key (id, hash, start, name, note, scopes, appids, paths, created_at, expires_at, used_at,
       revoked_at)
VALUES (:id, :hash, :start, :name, :note, :scopes, :scope, :paths, :created_at, :expires_at, :used_at, :revoked_at);

-- every_access_token: every access_token, in order
SELECT appid, sealed, fetched_at, expires_at, refresher, refreshing_until
FROM access_token ORDER BY appid;

-- put_access_token: one of them, as it was
INSERT INTO access_token (appid, sealed, fetched_at, expires_at, refresher, refreshing_until)
VALUES (:appid, :sealed, :fetched_at, :expires_at, :refresher, :refreshing_until);

-- next_hour: the oldest hour after one that has figures; those of no hour stand under 0
SELECT MIN(hour) FROM figure WHERE hour > :hour;

-- figures_of_hour: its figures
SELECT appid, name, hour, n FROM figure WHERE hour = :hour ORDER BY appid, name;

-- put_figure: one of them, as it was
INSERT INTO figure (appid, name, hour, n) VALUES (:appid, :name, :hour, :n);

-- forget_all_sessions: what a session engine left here that was not the one in use
DELETE FROM session;

-- unmark: the move is over, and the schema is of the version that it is
DELETE FROM schema_version WHERE version = :version;
