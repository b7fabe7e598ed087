-- What a database needs that comes back from the past, or moves: nobody's number twice, no epoch twice.

-- last_user_id: the highest number that a person was ever given here
-- on sqlite
SELECT MAX(COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'user'), 0), COALESCE((SELECT MAX(id) FROM user), 0));
-- on mysql
SELECT GREATEST(COALESCE((SELECT AUTO_INCREMENT - 1 FROM information_schema.TABLES
                          WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'user'), 0),
                COALESCE((SELECT MAX(id) FROM user), 0));

-- take_user_id: a row that only uses a number up
INSERT INTO user (id, appid, openid, create_time, last_login_time) VALUES (:user_id, '-', '-', 0, 0);

-- drop_user_id: it goes, and its number stays used
DELETE FROM user WHERE id = :user_id;

-- set_epoch: the counter of one mini program, where it was lower
UPDATE epoch SET counter = :counter, raised_at = :at WHERE appid = :appid AND counter < :counter;

-- forget_operator_sessions: every operator signs in again
DELETE FROM operator_session;

-- forget_operator_links: no link that was sent opens anything
DELETE FROM operator_link;
