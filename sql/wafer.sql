-- The tables of another program, Tencent's Wafer session servers, which only ever lie in a MySQL of their own.

-- wafer_generation: 1 when the database has the table that only Wafer 1 has
-- on mysql
SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'cAppinfo';

-- wafer_apps: the mini programs of Wafer 1, with days after a login and seconds after a use at which its sessions end
-- on mysql
SELECT appid, login_duration, session_duration FROM cAppinfo;

-- wafer_sessions: some sessions in the order of their people; times are epoch seconds, a DATETIME's as if it were UTC
-- on mysql
SELECT open_id, uuid, skey, session_key, user_info, UNIX_TIMESTAMP(create_time), UNIX_TIMESTAMP(last_visit_time)
FROM cSessionInfo
WHERE open_id >= :openid AND (open_id > :openid OR uuid > :uuid) ORDER BY open_id, uuid LIMIT :most;
