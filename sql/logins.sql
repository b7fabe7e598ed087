-- Facts about each login, one row a session, written behind. Column order is the field order of stores.logins.Login.
--
-- The lists at the end walk along an index, one way or the other, from a place on: a `window` statement says how far a
-- bounded number of its entries reaches, a `page` statement then gives what fits within them. So a filter that hardly
-- anything fits costs no more than any other. The planner of neither database is left to choose: it does not know that.

-- part fields: a row
l.id, l.user_id, l.appid, l.ip, l.platform, l.version, l.environment, l.created_at, l.seen_at, l.ended_at, l.reason,
       l.epoch, l.address, l.device, l.wechat

-- part fate: what became of the session, as far as these rows know
CASE WHEN l.ended_at IS NOT NULL THEN COALESCE(l.reason, 'revoked')
            WHEN l.epoch < COALESCE((SELECT e.counter FROM epoch e WHERE e.appid = l.appid), 0) THEN 'revoked'
            WHEN l.created_at <= :oldest_live OR l.seen_at <= :oldest_use THEN 'expired'
            ELSE 'live' END

-- part sought: what the operator asks for, within what the operator may see; in one piece, by which no planner plans
(
    (:anywhere = 1 OR l.appid IN (:appids))
    AND (:anybody = 1 OR l.user_id IN (:user_ids))
    AND (:first_address IS NULL OR (l.address >= :first_address AND l.address <= :last_address))
    AND (:version IS NULL OR l.version = :version)
    AND (:platform IS NULL OR l.platform = :platform)
    AND (:environment IS NULL OR l.environment = :environment)
    AND l.seen_at >= :seen_from AND l.created_at >= :created_from AND l.created_at <= :created_to
    AND (:state = 'any' OR :state = {{fate}} OR (:state = 'ended' AND 'live' <> {{fate}}))
  ) = 1

-- part down: from a place down to another
l.created_at <= :value AND (l.created_at < :value OR l.id < :id)
  AND l.created_at >= :stop AND (l.created_at > :stop OR l.id >= :stop_id)

-- part up: from a place up to another
l.created_at >= :value AND (l.created_at > :value OR l.id > :id)
  AND l.created_at <= :stop AND (l.created_at < :stop OR l.id <= :stop_id)

-- part down_use: the same along the last use
l.seen_at <= :value AND (l.seen_at < :value OR l.id < :id)
  AND l.seen_at >= :stop AND (l.seen_at > :stop OR l.id >= :stop_id)

-- part up_use: the same along the last use
l.seen_at >= :value AND (l.seen_at > :value OR l.id > :id)
  AND l.seen_at <= :stop AND (l.seen_at < :stop OR l.id <= :stop_id)

-- part by_time: the table along one index
-- on sqlite
login l INDEXED BY login_by_time
-- on mysql
login l FORCE INDEX (login_by_time)

-- part by_end: the table along one index
-- on sqlite
login l INDEXED BY login_by_end
-- on mysql
login l FORCE INDEX (login_by_end)

-- part by_use: the table along one index
-- on sqlite
login l INDEXED BY login_by_use
-- on mysql
login l FORCE INDEX (login_by_use)

-- part by_user: the table along one index
-- on sqlite
login l INDEXED BY login_by_user
-- on mysql
login l FORCE INDEX (login_by_user)

-- part by_address: the table along one index
-- on sqlite
login l INDEXED BY login_by_address
-- on mysql
login l FORCE INDEX (login_by_address)

-- part by_version: the table along one index
-- on sqlite
login l INDEXED BY login_by_version
-- on mysql
login l FORCE INDEX (login_by_version)

-- part by_platform: the table along one index
-- on sqlite
login l INDEXED BY login_by_platform
-- on mysql
login l FORCE INDEX (login_by_platform)

-- part by_environment: the table along one index
-- on sqlite
login l INDEXED BY login_by_environment
-- on mysql
login l FORCE INDEX (login_by_environment)

-- add_login: a session began; a note that comes after its person was erased brings no address back
-- on sqlite
INSERT INTO login (id, user_id, appid, epoch, ip, address, platform, version, environment, device, wechat, created_at,
                   seen_at)
VALUES (:id, :user_id, :appid, :epoch, (SELECT :ip FROM user WHERE id = :user_id),
        (SELECT :address FROM user WHERE id = :user_id), (SELECT :platform FROM user WHERE id = :user_id),
        (SELECT :version FROM user WHERE id = :user_id), (SELECT :environment FROM user WHERE id = :user_id),
        (SELECT :device FROM user WHERE id = :user_id), (SELECT :wechat FROM user WHERE id = :user_id), :at, :at)
ON CONFLICT (id) DO NOTHING;
-- on mysql
INSERT INTO login (id, user_id, appid, epoch, ip, address, platform, version, environment, device, wechat, created_at,
                   seen_at)
VALUES (:id, :user_id, :appid, :epoch, (SELECT :ip FROM user WHERE id = :user_id),
        (SELECT :address FROM user WHERE id = :user_id), (SELECT :platform FROM user WHERE id = :user_id),
        (SELECT :version FROM user WHERE id = :user_id), (SELECT :environment FROM user WHERE id = :user_id),
        (SELECT :device FROM user WHERE id = :user_id), (SELECT :wechat FROM user WHERE id = :user_id), :at, :at)
ON DUPLICATE KEY UPDATE user_id = VALUES(user_id);

-- note_seen: sessions that were used in the minute gone by
UPDATE login SET seen_at = :at WHERE id IN (:ids) AND seen_at < :at;

-- note_ended: sessions ended, and why; the first cause stays
UPDATE login SET ended_at = :at, reason = :reason WHERE id IN (:ids) AND ended_at IS NULL;

-- note_restored: sessions that were revoked by mistake and brought back
UPDATE login SET ended_at = NULL, reason = NULL WHERE id IN (:ids) AND reason = 'revoked';

-- logins_by_id: the facts about these sessions
SELECT {{fields}}
FROM login l WHERE id IN (:ids);

-- logins_between_ids: sessions whose public id begins alike
SELECT {{fields}}
FROM login l WHERE id >= :first AND id <= :last ORDER BY id LIMIT :most;

-- logins_of_user: one person's logins, the newest first
SELECT {{fields}}
FROM login l WHERE user_id = :user_id ORDER BY created_at DESC LIMIT :most;

-- logins_newest: the newest logins of all, older than a place in the list
SELECT {{fields}}
FROM login l WHERE created_at < :before_at OR (created_at = :before_at AND id < :before_id)
ORDER BY created_at DESC, id DESC LIMIT :most;

-- ends_from: what ended at a second or later, in that order
SELECT l.id, l.reason, l.ended_at, l.created_at FROM {{by_end}} WHERE l.ended_at >= :since
ORDER BY l.ended_at, l.created_at, l.id LIMIT :most;

-- ends_within: what else ended in one second, from a place on
SELECT l.id, l.reason, l.ended_at, l.created_at FROM {{by_end}} WHERE l.ended_at = :ended_at
  AND l.created_at >= :created_at AND (l.created_at > :created_at OR l.id > :after_id)
ORDER BY l.created_at, l.id LIMIT :most;

-- mask_logins_of_user: an erased person's addresses and devices go, the times stay
UPDATE login SET ip = NULL, address = NULL, platform = NULL, version = NULL, environment = NULL, device = NULL, wechat = NULL
WHERE user_id = :user_id;

-- window_time_down: how far some entries reach: all logins, the newest first
SELECT l.created_at, l.id FROM {{by_time}} WHERE {{down}}
ORDER BY l.created_at DESC, l.id DESC LIMIT 1 OFFSET :window;

-- page_time_down: some of them that fit
SELECT {{fields}}
FROM {{by_time}} WHERE {{down}}
  AND {{sought}}
ORDER BY l.created_at DESC, l.id DESC LIMIT :most;

-- window_time_up: how far some entries reach: all logins, the oldest first
SELECT l.created_at, l.id FROM {{by_time}} WHERE {{up}}
ORDER BY l.created_at, l.id LIMIT 1 OFFSET :window;

-- page_time_up: some of them that fit
SELECT {{fields}}
FROM {{by_time}} WHERE {{up}}
  AND {{sought}}
ORDER BY l.created_at, l.id LIMIT :most;

-- window_live_down: how far some entries reach: logins that no end was noted of, the newest first
SELECT l.created_at, l.id FROM {{by_end}} WHERE l.ended_at IS NULL AND {{down}}
ORDER BY l.created_at DESC, l.id DESC LIMIT 1 OFFSET :window;

-- page_live_down: some of them that fit
SELECT {{fields}}
FROM {{by_end}} WHERE l.ended_at IS NULL AND {{down}}
  AND {{sought}}
ORDER BY l.created_at DESC, l.id DESC LIMIT :most;

-- window_live_up: how far some entries reach: logins that no end was noted of, the oldest first
SELECT l.created_at, l.id FROM {{by_end}} WHERE l.ended_at IS NULL AND {{up}}
ORDER BY l.created_at, l.id LIMIT 1 OFFSET :window;

-- page_live_up: some of them that fit
SELECT {{fields}}
FROM {{by_end}} WHERE l.ended_at IS NULL AND {{up}}
  AND {{sought}}
ORDER BY l.created_at, l.id LIMIT :most;

-- window_user_down: how far some entries reach: one person's logins, the newest first
SELECT l.created_at, l.id FROM {{by_user}} WHERE l.user_id = :exactly AND {{down}}
ORDER BY l.created_at DESC, l.id DESC LIMIT 1 OFFSET :window;

-- page_user_down: some of them that fit
SELECT {{fields}}
FROM {{by_user}} WHERE l.user_id = :exactly AND {{down}}
  AND {{sought}}
ORDER BY l.created_at DESC, l.id DESC LIMIT :most;

-- window_user_up: how far some entries reach: one person's logins, the oldest first
SELECT l.created_at, l.id FROM {{by_user}} WHERE l.user_id = :exactly AND {{up}}
ORDER BY l.created_at, l.id LIMIT 1 OFFSET :window;

-- page_user_up: some of them that fit
SELECT {{fields}}
FROM {{by_user}} WHERE l.user_id = :exactly AND {{up}}
  AND {{sought}}
ORDER BY l.created_at, l.id LIMIT :most;

-- window_address_down: how far some entries reach: logins from one address, the newest first
SELECT l.created_at, l.id FROM {{by_address}} WHERE l.address = :exactly AND {{down}}
ORDER BY l.created_at DESC, l.id DESC LIMIT 1 OFFSET :window;

-- page_address_down: some of them that fit
SELECT {{fields}}
FROM {{by_address}} WHERE l.address = :exactly AND {{down}}
  AND {{sought}}
ORDER BY l.created_at DESC, l.id DESC LIMIT :most;

-- window_address_up: how far some entries reach: logins from one address, the oldest first
SELECT l.created_at, l.id FROM {{by_address}} WHERE l.address = :exactly AND {{up}}
ORDER BY l.created_at, l.id LIMIT 1 OFFSET :window;

-- page_address_up: some of them that fit
SELECT {{fields}}
FROM {{by_address}} WHERE l.address = :exactly AND {{up}}
  AND {{sought}}
ORDER BY l.created_at, l.id LIMIT :most;

-- window_version_down: how far some entries reach: logins of one version, the newest first
SELECT l.created_at, l.id FROM {{by_version}} WHERE l.version = :exactly AND {{down}}
ORDER BY l.created_at DESC, l.id DESC LIMIT 1 OFFSET :window;

-- page_version_down: some of them that fit
SELECT {{fields}}
FROM {{by_version}} WHERE l.version = :exactly AND {{down}}
  AND {{sought}}
ORDER BY l.created_at DESC, l.id DESC LIMIT :most;

-- window_version_up: how far some entries reach: logins of one version, the oldest first
SELECT l.created_at, l.id FROM {{by_version}} WHERE l.version = :exactly AND {{up}}
ORDER BY l.created_at, l.id LIMIT 1 OFFSET :window;

-- page_version_up: some of them that fit
SELECT {{fields}}
FROM {{by_version}} WHERE l.version = :exactly AND {{up}}
  AND {{sought}}
ORDER BY l.created_at, l.id LIMIT :most;

-- window_platform_down: how far some entries reach: logins of one platform, the newest first
SELECT l.created_at, l.id FROM {{by_platform}} WHERE l.platform = :exactly AND {{down}}
ORDER BY l.created_at DESC, l.id DESC LIMIT 1 OFFSET :window;

-- page_platform_down: some of them that fit
SELECT {{fields}}
FROM {{by_platform}} WHERE l.platform = :exactly AND {{down}}
  AND {{sought}}
ORDER BY l.created_at DESC, l.id DESC LIMIT :most;

-- window_platform_up: how far some entries reach: logins of one platform, the oldest first
SELECT l.created_at, l.id FROM {{by_platform}} WHERE l.platform = :exactly AND {{up}}
ORDER BY l.created_at, l.id LIMIT 1 OFFSET :window;

-- page_platform_up: some of them that fit
SELECT {{fields}}
FROM {{by_platform}} WHERE l.platform = :exactly AND {{up}}
  AND {{sought}}
ORDER BY l.created_at, l.id LIMIT :most;

-- window_environment_down: how far some entries reach: logins of one environment, the newest first
SELECT l.created_at, l.id FROM {{by_environment}} WHERE l.environment = :exactly AND {{down}}
ORDER BY l.created_at DESC, l.id DESC LIMIT 1 OFFSET :window;

-- page_environment_down: some of them that fit
SELECT {{fields}}
FROM {{by_environment}} WHERE l.environment = :exactly AND {{down}}
  AND {{sought}}
ORDER BY l.created_at DESC, l.id DESC LIMIT :most;

-- window_environment_up: how far some entries reach: logins of one environment, the oldest first
SELECT l.created_at, l.id FROM {{by_environment}} WHERE l.environment = :exactly AND {{up}}
ORDER BY l.created_at, l.id LIMIT 1 OFFSET :window;

-- page_environment_up: some of them that fit
SELECT {{fields}}
FROM {{by_environment}} WHERE l.environment = :exactly AND {{up}}
  AND {{sought}}
ORDER BY l.created_at, l.id LIMIT :most;

-- window_use_down: how far some entries reach: logins that no end was noted of, by their last use, the newest first
SELECT l.seen_at, l.id FROM {{by_use}} WHERE l.ended_at IS NULL AND {{down_use}}
ORDER BY l.seen_at DESC, l.id DESC LIMIT 1 OFFSET :window;

-- page_use_down: some of them that fit
SELECT {{fields}}
FROM {{by_use}} WHERE l.ended_at IS NULL AND {{down_use}}
  AND {{sought}}
ORDER BY l.seen_at DESC, l.id DESC LIMIT :most;

-- window_use_up: how far some entries reach: logins that no end was noted of, by their last use, the oldest first
SELECT l.seen_at, l.id FROM {{by_use}} WHERE l.ended_at IS NULL AND {{up_use}}
ORDER BY l.seen_at, l.id LIMIT 1 OFFSET :window;

-- page_use_up: some of them that fit
SELECT {{fields}}
FROM {{by_use}} WHERE l.ended_at IS NULL AND {{up_use}}
  AND {{sought}}
ORDER BY l.seen_at, l.id LIMIT :most;

-- window_users: whether there are more than some of these people's logins
SELECT l.created_at FROM {{by_user}} WHERE l.user_id IN (:user_ids) LIMIT 1 OFFSET :window;

-- few_users: where those that fit stand, of these people's logins
SELECT l.id, l.created_at, l.seen_at FROM {{by_user}} WHERE l.user_id IN (:user_ids)
  AND {{sought}};

-- window_network: whether there are more than some of logins from one network
SELECT l.created_at FROM {{by_address}} WHERE l.address >= :first_address AND l.address <= :last_address
LIMIT 1 OFFSET :window;

-- few_network: where those that fit stand, of logins from one network
SELECT l.id, l.created_at, l.seen_at FROM {{by_address}} WHERE l.address >= :first_address AND l.address <= :last_address
  AND {{sought}};
