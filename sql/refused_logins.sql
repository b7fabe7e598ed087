-- Logins that were refused, one row each, written behind. Column order is the field order of
-- stores.refused_logins.RefusedLogin. As with logins, a `window` says how far a bounded number of entries reaches.

-- part fields: a row
r.id, r.at, r.appid, r.errcode, r.ip, r.platform, r.version, r.environment

-- part visible: what the operator may see
(:anywhere = 1 OR r.appid IN (:appids)) AND (:platform IS NULL OR r.platform = :platform)

-- part before: from a place down to another
r.at <= :value AND (r.at < :value OR r.id < :id) AND r.at >= :stop AND (r.at > :stop OR r.id >= :stop_id)

-- part by_time: the table along one index
-- on sqlite
refused_login r INDEXED BY refused_login_by_time
-- on mysql
refused_login r FORCE INDEX (refused_login_by_time)

-- part by_errcode: the table along one index
-- on sqlite
refused_login r INDEXED BY refused_login_by_errcode
-- on mysql
refused_login r FORCE INDEX (refused_login_by_errcode)

-- add_refused_login: a phone did not get its token
INSERT INTO refused_login (at, appid, errcode, ip, platform, version, environment)
VALUES (:at, :appid, :errcode, :ip, :platform, :version, :environment);

-- window_refused: how far some entries reach, the newest first
SELECT r.at, r.id FROM {{by_time}} WHERE {{before}} ORDER BY r.at DESC, r.id DESC LIMIT 1 OFFSET :window;

-- page_refused: some of them that fit
SELECT {{fields}}
FROM {{by_time}} WHERE {{before}} AND {{visible}} ORDER BY r.at DESC, r.id DESC LIMIT :most;

-- window_refused_so: how far some entries of one errcode reach, the newest first
SELECT r.at, r.id FROM {{by_errcode}} WHERE r.errcode = :errcode AND {{before}}
ORDER BY r.at DESC, r.id DESC LIMIT 1 OFFSET :window;

-- page_refused_so: some of them that fit
SELECT {{fields}}
FROM {{by_errcode}} WHERE r.errcode = :errcode AND {{before}} AND {{visible}}
ORDER BY r.at DESC, r.id DESC LIMIT :most;
