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

-- part down_(created|seen): from a place down to another
l.@_at <= :value AND (l.@_at < :value OR l.id < :id)
  AND l.@_at >= :stop AND (l.@_at > :stop OR l.id >= :stop_id)

-- part up_(created|seen): from a place up to another
l.@_at >= :value AND (l.@_at > :value OR l.id > :id)
  AND l.@_at <= :stop AND (l.@_at < :stop OR l.id <= :stop_id)

-- part by_(time|end|use|user|address|version|platform|environment): the table along one index
-- on sqlite
login l INDEXED BY login_by_@
-- on mysql
login l FORCE INDEX (login_by_@)

-- part along_time: all logins, as they came
{{by_time}} WHERE

-- part along_live: logins that no end was noted of
{{by_end}} WHERE l.ended_at IS NULL AND

-- part along_user: one person's logins
{{by_user}} WHERE l.user_id = :exactly AND

-- part along_(address|version|platform|environment): logins that have one of these in common
{{by_@}} WHERE l.@ = :exactly AND

-- part along_use: logins that no end was noted of, by their last use
{{by_use}} WHERE l.ended_at IS NULL AND

-- part masked: what tells of a person
ip = NULL, address = NULL, platform = NULL, version = NULL, environment = NULL, device = NULL, wechat = NULL

-- part new_logins: rows of facts
INSERT INTO login (id, user_id, appid, epoch, ip, address, platform, version, environment, device, wechat, created_at,
                   seen_at)
VALUES :rows

-- add_logins: sessions began
-- on sqlite
{{new_logins}}
ON CONFLICT (id) DO NOTHING;
-- on mysql
{{new_logins}}
ON DUPLICATE KEY UPDATE user_id = VALUES(user_id);

-- mask_strays: a note that comes after its person was erased brings no address back
UPDATE login SET {{masked}}
WHERE id IN (:ids) AND NOT EXISTS (SELECT 1 FROM user WHERE user.id = login.user_id);

-- note_seen: sessions that were used in the minute gone by
UPDATE login SET seen_at = :at WHERE id IN (:ids) AND seen_at < :at;

-- note_ended: sessions ended, and why; the first cause stays
UPDATE login SET ended_at = :at, reason = :reason WHERE id IN (:ids) AND ended_at IS NULL;

-- logins_ended: those of these sessions of which it is written down that they ended
SELECT id FROM login WHERE id IN (:ids) AND ended_at IS NOT NULL;

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
UPDATE login SET {{masked}}
WHERE user_id = :user_id;

-- window_(time|live|user|address|version|platform|environment)_down: how far some entries reach, the newest first
SELECT l.created_at, l.id FROM {{along_@}} {{down_created}}
ORDER BY l.created_at DESC, l.id DESC LIMIT 1 OFFSET :window;

-- page_(time|live|user|address|version|platform|environment)_down: some of them that fit
SELECT {{fields}}
FROM {{along_@}} {{down_created}}
  AND {{sought}}
ORDER BY l.created_at DESC, l.id DESC LIMIT :most;

-- window_(time|live|user|address|version|platform|environment)_up: how far some entries reach, the oldest first
SELECT l.created_at, l.id FROM {{along_@}} {{up_created}}
ORDER BY l.created_at, l.id LIMIT 1 OFFSET :window;

-- page_(time|live|user|address|version|platform|environment)_up: some of them that fit
SELECT {{fields}}
FROM {{along_@}} {{up_created}}
  AND {{sought}}
ORDER BY l.created_at, l.id LIMIT :most;

-- window_use_down: how far some entries reach, the last used first
SELECT l.seen_at, l.id FROM {{along_use}} {{down_seen}}
ORDER BY l.seen_at DESC, l.id DESC LIMIT 1 OFFSET :window;

-- page_use_down: some of them that fit
SELECT {{fields}}
FROM {{along_use}} {{down_seen}}
  AND {{sought}}
ORDER BY l.seen_at DESC, l.id DESC LIMIT :most;

-- window_use_up: how far some entries reach, the first used first
SELECT l.seen_at, l.id FROM {{along_use}} {{up_seen}}
ORDER BY l.seen_at, l.id LIMIT 1 OFFSET :window;

-- page_use_up: some of them that fit
SELECT {{fields}}
FROM {{along_use}} {{up_seen}}
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
