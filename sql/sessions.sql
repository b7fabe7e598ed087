-- Who is in, for the session engine that lives in SQL, and the epochs, which live here whatever the engine.

-- sessions_by_id: the sessions of these ids, each with the counter of today
SELECT s.id, s.user_id, s.appid, s.epoch, s.created_at, s.ends_at, s.expires_at, s.sealed_key, s.reason,
       COALESCE(e.counter, 0)
FROM session s LEFT JOIN epoch e ON e.appid = s.appid WHERE s.id IN (:ids);

-- live_sessions: a person's sessions that still hold, the one that ends last at the top
SELECT s.id, s.user_id, s.appid, s.epoch, s.created_at, s.ends_at, s.expires_at, s.sealed_key, s.reason,
       COALESCE(e.counter, 0)
FROM session s LEFT JOIN epoch e ON e.appid = s.appid
WHERE s.user_id = :user_id AND s.expires_at > :now AND s.reason IS NULL AND s.epoch = COALESCE(e.counter, 0)
ORDER BY s.expires_at DESC, s.opened_us DESC LIMIT :most;

-- count_sessions: how many hold in one mini program
SELECT COUNT(*) FROM session
WHERE appid = :appid AND epoch = :epoch AND expires_at > :now;

-- user_generation: the counter that a block or an erasure raises; no row, no such person any more
-- on sqlite
SELECT generation FROM user WHERE id = :user_id;
-- on mysql
SELECT generation FROM user WHERE id = :user_id FOR UPDATE;

-- open_session: a session begins; opened_us, microseconds, tells those of one second apart
INSERT INTO session (id, user_id, appid, epoch, created_at, ends_at, expires_at, opened_us, sealed_key)
VALUES (:id, :user_id, :appid, :epoch, :created_at, :ends_at, :expires_at, :opened_us, :sealed_key);

-- end_session: it ends now and its sealed key is wiped; the row says why for a day
UPDATE session SET reason = :reason, sealed_key = NULL, expires_at = :now
WHERE id = :id AND reason IS NULL AND expires_at > :now;

-- end_session_for_now: it ends now as well, and until the moment given it may be brought back; its key waits as long
UPDATE session
SET reason = :reason, undo_by = :by, undo_until = :until, undo_expires_at = expires_at, expires_at = :now
WHERE id = :id AND reason IS NULL AND expires_at > :now;

-- forbid_return: what was ended for now is ended for good, unless it was the same person who ends it again
UPDATE session SET sealed_key = NULL, undo_by = NULL, undo_until = NULL, undo_expires_at = NULL
WHERE id IN (:ids) AND undo_until IS NOT NULL AND undo_by <> :by;

-- forbid_return_of_user: none of a person's ended sessions can be brought back any more
UPDATE session SET sealed_key = NULL, undo_by = NULL, undo_until = NULL, undo_expires_at = NULL
WHERE user_id = :user_id AND undo_until IS NOT NULL;

-- returning_sessions: what the same person ended less than a minute ago, as it was, with the counter of today
SELECT s.id, s.user_id, s.appid, s.epoch, s.created_at, s.ends_at, s.undo_expires_at, s.sealed_key, NULL,
       COALESCE(e.counter, 0)
FROM session s LEFT JOIN epoch e ON e.appid = s.appid
WHERE s.id IN (:ids) AND s.undo_until > :now AND s.undo_by = :by;

-- people_let_in: who of these is neither blocked nor erased; a block at this very moment forbids the return itself
SELECT id FROM user WHERE id IN (:user_ids) AND (state <> 'blocked' OR blocked_until <= :now);

-- return_session: it holds again until the end that it had
UPDATE session
SET reason = NULL, expires_at = undo_expires_at, undo_by = NULL, undo_until = NULL, undo_expires_at = NULL
WHERE id = :id AND undo_until > :now AND undo_by = :by;

-- touch_session: use extends the life of a session that holds, never its value, never a dead one
UPDATE session SET expires_at = :until
WHERE id = :id AND reason IS NULL AND expires_at > :now AND expires_at < :until;

-- stale_sessions: what ended more than a day ago, a few at a time
SELECT id FROM session WHERE expires_at < :before LIMIT :most;

-- forget_sessions: they go
DELETE FROM session WHERE id IN (:ids);

-- missed_returns: sessions whose minute is over, a few at a time
SELECT id FROM session WHERE undo_until <= :now LIMIT :most;

-- expired_keys: sessions of an epoch gone by whose sealed key is still there, a few at a time
SELECT id FROM session WHERE appid = :appid AND epoch < :epoch AND sealed_key IS NOT NULL LIMIT :most;

-- wipe_keys: their keys go, and they are ended in the epoch of today, so that no sweep comes upon them again
UPDATE session
SET sealed_key = NULL, reason = COALESCE(reason, 'revoked'), epoch = :epoch, expires_at = :now,
    undo_by = NULL, undo_until = NULL, undo_expires_at = NULL
WHERE id IN (:ids) AND sealed_key IS NOT NULL;

-- epochs: the counter of every mini program that was ever served here
SELECT appid, counter FROM epoch;

-- epoch_of: one mini program's counter
SELECT counter FROM epoch WHERE appid = :appid;

-- epoch_raised: when everybody was put out of one mini program for the last time
SELECT raised_at FROM epoch WHERE appid = :appid;

-- know_app: a mini program is served here
-- on sqlite
INSERT INTO epoch (appid, counter) VALUES (:appid, 0) ON CONFLICT (appid) DO NOTHING;
-- on mysql
INSERT INTO epoch (appid, counter) VALUES (:appid, 0) ON DUPLICATE KEY UPDATE counter = counter;

-- raise_epoch: everybody's session in this mini program is over
-- on sqlite
INSERT INTO epoch (appid, counter, raised_at) VALUES (:appid, 1, :at)
ON CONFLICT (appid) DO UPDATE SET counter = counter + 1, raised_at = excluded.raised_at;
-- on mysql
INSERT INTO epoch (appid, counter, raised_at) VALUES (:appid, 1, :at)
ON DUPLICATE KEY UPDATE counter = counter + 1, raised_at = VALUES(raised_at);

-- claim_code: whoever writes the row may ask WeChat about the code
-- on sqlite
INSERT INTO code_claim (code_hash, expires_at) VALUES (:code_hash, :until)
ON CONFLICT (code_hash) DO NOTHING;
-- on mysql
INSERT INTO code_claim (code_hash, expires_at) VALUES (:code_hash, :until)
ON DUPLICATE KEY UPDATE expires_at = expires_at;

-- give_back_code: WeChat was not asked, the code is still good
DELETE FROM code_claim WHERE code_hash = :code_hash;

-- forget_claims: older than any code lives
DELETE FROM code_claim WHERE expires_at < :now;

-- add_tally: one more, or several, in this window
-- on sqlite
INSERT INTO tally (name, n, expires_at) VALUES (:name, :n, :until)
ON CONFLICT (name) DO UPDATE SET n = tally.n + excluded.n;
-- on mysql
INSERT INTO tally (name, n, expires_at) VALUES (:name, :n, :until)
ON DUPLICATE KEY UPDATE n = n + VALUES(n);

-- tally_of: how many in this window
SELECT n FROM tally WHERE name = :name;

-- forget_tallies: windows gone by
DELETE FROM tally WHERE expires_at < :now;
