-- What is old enough to go, a few rows at a time.

-- old_logins: logins before a moment, from a place in time on, the oldest first
SELECT created_at, id FROM login
WHERE created_at >= :after AND created_at < :before AND (created_at > :after OR id > :id)
ORDER BY created_at, id LIMIT :most;

-- forget_logins: they go
DELETE FROM login WHERE id IN (:ids);

-- mask_old_logins: from where and with what they came goes, when and which platform stays
UPDATE login SET ip = NULL, address = NULL, device = NULL, wechat = NULL WHERE id IN (:ids);

-- old_refused: refused logins before a moment, from a place in time on, the oldest first
SELECT at, id FROM refused_login
WHERE at >= :after AND at < :before AND (at > :after OR id > :refused_id)
ORDER BY at, id LIMIT :most;

-- forget_refused: they go
DELETE FROM refused_login WHERE id IN (:refused_ids);

-- mask_old_refused: from where they came goes
UPDATE refused_login SET ip = NULL WHERE id IN (:refused_ids);

-- old_push_events: what WeChat told before a moment, the oldest first
SELECT id FROM push_event WHERE at < :before ORDER BY at, id LIMIT :most;

-- forget_push_events: they go
DELETE FROM push_event WHERE id IN (:ids);

-- oldest_hour: the first hour of which there are figures, before an hour; 0 is no hour
SELECT MIN(hour) FROM figure WHERE hour > 0 AND hour < :hour;

-- forget_hour: its figures go
DELETE FROM figure WHERE hour = :hour;

-- place_of: how far a clock has come, epoch seconds; kept beside the figures, under no mini program
SELECT n FROM figure WHERE appid = '' AND name = :name AND hour = 0;

-- move_place: it came further, never back
-- on sqlite
INSERT INTO figure (appid, name, hour, n) VALUES ('', :name, 0, :at)
ON CONFLICT (appid, name, hour) DO UPDATE SET n = MAX(figure.n, excluded.n);
-- on mysql
INSERT INTO figure (appid, name, hour, n) VALUES ('', :name, 0, :at)
ON DUPLICATE KEY UPDATE n = GREATEST(n, VALUES(n));
