-- What WeChat told us about people: one row for each message, so that a repeated one does nothing. Column order is the
-- field order of stores.push_events.PushEvent. `event` is the event's name, with what was revoked after a colon.

-- part fields: a row
p.id, p.appid, p.event, p.user_id, p.state, p.at, p.done_at

-- add_push_event: WeChat told something new; of a repeated message nothing is changed
-- on sqlite
INSERT INTO push_event (id, appid, event, user_id, state, at) VALUES (:id, :appid, :event, :user_id, :state, :at)
ON CONFLICT (id) DO NOTHING;
-- on mysql
INSERT INTO push_event (id, appid, event, user_id, state, at) VALUES (:id, :appid, :event, :user_id, :state, :at)
ON DUPLICATE KEY UPDATE id = VALUES(id);

-- take_push_event: somebody begins, unless somebody else has just begun
UPDATE push_event SET tried_at = :now WHERE id = :id AND done_at IS NULL AND tried_at <= :before;

-- finish_push_event: what it asked for is done
UPDATE push_event SET state = :state, done_at = :now WHERE id = :id;

-- unfinished_push_events: what was begun and not finished, the oldest first
SELECT {{fields}}
FROM push_event p WHERE p.at >= :from AND p.done_at IS NULL AND p.tried_at <= :before
ORDER BY p.at, p.id LIMIT :most;

-- page_push_events: the newest that the operator may see, from a place down
SELECT {{fields}}
FROM push_event p
WHERE p.at <= :at AND (p.at < :at OR p.id < :id) AND (:anywhere = 1 OR p.appid IN (:appids))
ORDER BY p.at DESC, p.id DESC LIMIT :most;
