-- What is known about people. Column order is the field order of stores.users.User.

-- user_by_openid: the person whom WeChat calls so in this mini program
SELECT id, appid, openid, unionid, nickname, avatar_url, phone, create_time, last_login_time, state, blocked_until,
       block_reason, generation
FROM user WHERE appid = :appid AND openid = :openid;

-- user_by_id: the person with our own number
SELECT id, appid, openid, unionid, nickname, avatar_url, phone, create_time, last_login_time, state, blocked_until,
       block_reason, generation
FROM user WHERE id = :id;

-- lock_user: nobody else changes this person before the transaction ends
-- on sqlite
SELECT id FROM user WHERE id = :id;
-- on mysql
SELECT id FROM user WHERE id = :id FOR UPDATE;

-- users_by_openid: everybody of that openid, in any mini program; two are enough to know that it is ambiguous
SELECT id, appid, openid, unionid, nickname, avatar_url, phone, create_time, last_login_time, state, blocked_until,
       block_reason, generation
FROM user WHERE appid IN (:appids) AND openid = :openid LIMIT 2;

-- add_user: a first login; when two arrive at once the second changes nothing and then reads the row of the first
-- on sqlite
INSERT INTO user (appid, openid, unionid, create_time, last_login_time)
VALUES (:appid, :openid, :unionid, :now, :now)
ON CONFLICT (appid, openid) DO NOTHING;
-- on mysql
INSERT INTO user (appid, openid, unionid, create_time, last_login_time)
VALUES (:appid, :openid, :unionid, :now, :now)
ON DUPLICATE KEY UPDATE openid = VALUES(openid);

-- set_unionid: WeChat named the unionid, for the first time or a new one
UPDATE user SET unionid = :unionid WHERE id = :id;

-- set_profile: what the person typed in
UPDATE user SET nickname = :nickname, avatar_url = :avatar_url WHERE id = :id;

-- note_last_login: written behind, never backwards
UPDATE user SET last_login_time = :at WHERE id = :id AND last_login_time < :at;

-- block_user: logins are refused, and a session write that began before is refused by the generation
UPDATE user SET state = 'blocked', blocked_until = :until, block_reason = :reason, generation = generation + 1
WHERE id = :id;

-- unblock_user: the person may log in again; old sessions stay dead
UPDATE user SET state = 'active', blocked_until = NULL, block_reason = NULL WHERE id = :id;

-- erase_user: the row goes; ids are never used again
DELETE FROM user WHERE id = :id;

-- blocked_person: whether somebody erased while blocked stands in the block list
SELECT blocked_until, block_reason FROM blocked_person WHERE person = :person;

-- keep_block: a blocked person is erased, the block stays under an HMAC
-- on sqlite
INSERT INTO blocked_person (person, appid, blocked_until, block_reason)
VALUES (:person, :appid, :until, :reason)
ON CONFLICT (person) DO UPDATE SET blocked_until = excluded.blocked_until, block_reason = excluded.block_reason;
-- on mysql
INSERT INTO blocked_person (person, appid, blocked_until, block_reason)
VALUES (:person, :appid, :until, :reason)
ON DUPLICATE KEY UPDATE blocked_until = VALUES(blocked_until), block_reason = VALUES(block_reason);
