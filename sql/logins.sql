-- Facts about each login, one row a session, written behind. Column order is the field order of stores.logins.Login.

-- add_login: a session began; a note that comes after its person was erased brings no address back
-- on sqlite
INSERT INTO login (id, user_id, appid, ip, platform, version, environment, created_at, seen_at)
VALUES (:id, :user_id, :appid, (SELECT :ip FROM user WHERE id = :user_id),
        (SELECT :platform FROM user WHERE id = :user_id), (SELECT :version FROM user WHERE id = :user_id),
        (SELECT :environment FROM user WHERE id = :user_id), :at, :at)
ON CONFLICT (id) DO NOTHING;
-- on mysql
INSERT INTO login (id, user_id, appid, ip, platform, version, environment, created_at, seen_at)
VALUES (:id, :user_id, :appid, (SELECT :ip FROM user WHERE id = :user_id),
        (SELECT :platform FROM user WHERE id = :user_id), (SELECT :version FROM user WHERE id = :user_id),
        (SELECT :environment FROM user WHERE id = :user_id), :at, :at)
ON DUPLICATE KEY UPDATE user_id = VALUES(user_id);

-- note_seen: sessions that were used in the minute gone by
UPDATE login SET seen_at = :at WHERE id IN (:ids) AND seen_at < :at;

-- note_ended: sessions ended, and why; the first cause stays
UPDATE login SET ended_at = :at, reason = :reason WHERE id IN (:ids) AND ended_at IS NULL;

-- logins_by_id: the facts about these sessions
SELECT id, user_id, appid, ip, platform, version, environment, created_at, seen_at, ended_at, reason
FROM login WHERE id IN (:ids);

-- logins_between_ids: sessions whose public id begins alike; two are enough to know that it is ambiguous
SELECT id, user_id, appid, ip, platform, version, environment, created_at, seen_at, ended_at, reason
FROM login WHERE id >= :first AND id <= :last ORDER BY id LIMIT 2;

-- logins_of_user: one person's logins, the newest first
SELECT id, user_id, appid, ip, platform, version, environment, created_at, seen_at, ended_at, reason
FROM login WHERE user_id = :user_id ORDER BY created_at DESC LIMIT :most;

-- logins_newest: the newest logins of all, older than a place in the list
SELECT id, user_id, appid, ip, platform, version, environment, created_at, seen_at, ended_at, reason
FROM login WHERE created_at < :before_at OR (created_at = :before_at AND id < :before_id)
ORDER BY created_at DESC, id DESC LIMIT :most;

-- mask_logins_of_user: an erased person's addresses and devices go, the times stay
UPDATE login SET ip = NULL, platform = NULL, version = NULL, environment = NULL WHERE user_id = :user_id;
