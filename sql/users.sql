-- What is known about people. Column order is the field order of stores.users.User.

-- user_by_openid: the person whom WeChat calls so in this mini program
SELECT id, appid, openid, unionid, nickname, avatar_url, phone, create_time, last_login_time, state, blocked_until,
       block_reason, generation, note, person
FROM user WHERE appid = :appid AND openid = :openid;

-- users_of_openids: those of these people whom we know, each by the name that WeChat has for them in this mini program
SELECT id, appid, openid, unionid, nickname, avatar_url, phone, create_time, last_login_time, state, blocked_until,
       block_reason, generation, note, person
FROM user WHERE appid = :appid AND openid IN (:openids);

-- lock_user: nobody else changes this person before the transaction ends
-- on sqlite
SELECT id FROM user WHERE id = :id;
-- on mysql
SELECT id FROM user WHERE id = :id FOR UPDATE;

-- users_by_openid: everybody of that openid, in any mini program; two are enough to know that it is ambiguous
SELECT id, appid, openid, unionid, nickname, avatar_url, phone, create_time, last_login_time, state, blocked_until,
       block_reason, generation, note, person
FROM user WHERE appid IN (:appids) AND openid = :openid LIMIT 2;

-- add_users: first logins; who is there already, because another process was faster, is not changed
-- on sqlite
INSERT INTO user (appid, openid, unionid, create_time, last_login_time)
VALUES :new_people
ON CONFLICT (appid, openid) DO NOTHING;
-- on mysql
INSERT INTO user (appid, openid, unionid, create_time, last_login_time)
VALUES :new_people
ON DUPLICATE KEY UPDATE openid = VALUES(openid);

-- set_unionid: WeChat named the unionid, for the first time or a new one; then who was merged by the old one is not any more
UPDATE user SET unionid = :unionid, person = NULL WHERE id = :id;

-- set_profile: what the person typed in
UPDATE user SET nickname = :nickname, avatar_url = :avatar_url WHERE id = :id;

-- set_phone: the number that WeChat vouches for
UPDATE user SET phone = :phone WHERE id = :id;

-- note_last_logins: written behind, never backwards
UPDATE user SET last_login_time = :at WHERE id IN (:ids) AND last_login_time < :at;

-- block_user: logins are refused, and a session write that began before is refused by the generation
UPDATE user SET state = 'blocked', blocked_until = :until, block_reason = :reason, generation = generation + 1
WHERE id = :id;

-- unblock_user: the person may log in again; old sessions stay dead
UPDATE user SET state = 'active', blocked_until = NULL, block_reason = NULL WHERE id = :id;

-- erase_user: the row goes; ids are never used again
DELETE FROM user WHERE id = :id;

-- blocked_people: those of them who were erased while blocked, and until when; NULL is for good
SELECT person, blocked_until FROM blocked_person WHERE person IN (:people);

-- keep_block: a blocked person is erased, the block stays under an HMAC
-- on sqlite
INSERT INTO blocked_person (person, appid, blocked_until, block_reason)
VALUES (:person, :appid, :until, :reason)
ON CONFLICT (person) DO UPDATE SET blocked_until = excluded.blocked_until, block_reason = excluded.block_reason;
-- on mysql
INSERT INTO blocked_person (person, appid, blocked_until, block_reason)
VALUES (:person, :appid, :until, :reason)
ON DUPLICATE KEY UPDATE blocked_until = VALUES(blocked_until), block_reason = VALUES(block_reason);

-- set_note: what operators tell each other about a person
UPDATE user SET note = :note WHERE id = :id;

-- clear_profile: what the person, or WeChat for the person, asks us to forget; 1 takes a part away, 0 leaves it
UPDATE user SET nickname = CASE WHEN :no_nickname = 1 THEN NULL ELSE nickname END,
                avatar_url = CASE WHEN :no_avatar = 1 THEN NULL ELSE avatar_url END,
                phone = CASE WHEN :no_phone = 1 THEN NULL ELSE phone END
WHERE id = :id;

-- part fields: a row
u.id, u.appid, u.openid, u.unionid, u.nickname, u.avatar_url, u.phone, u.create_time, u.last_login_time, u.state,
       u.blocked_until, u.block_reason, u.generation, u.note, u.person

-- part visible: what the operator may see
(:anywhere = 1 OR u.appid IN (:appids))

-- part by_nickname: the table along one index
-- on sqlite
user u INDEXED BY user_by_nickname
-- on mysql
user u FORCE INDEX (user_by_nickname)

-- part by_phone_tail: the table along one index
-- on sqlite
user u INDEXED BY user_by_phone_tail
-- on mysql
user u FORCE INDEX (user_by_phone_tail)

-- part by_state: the table along one index
-- on sqlite
user u INDEXED BY user_by_state
-- on mysql
user u FORCE INDEX (user_by_state)

-- users_by_id: the people with these numbers of our own
SELECT {{fields}}
FROM user u WHERE u.id IN (:ids);

-- users_of_openid: everybody of that openid whom the operator may see
SELECT {{fields}}
FROM user u WHERE u.openid = :openid AND u.appid IN (:appids) LIMIT :most;

-- users_called: people whose nickname begins so
SELECT {{fields}}
FROM {{by_nickname}} WHERE u.nickname >= :first AND u.nickname <= :last AND {{visible}} LIMIT :most;

-- users_with_phone: people whose phone number ends in these four digits
SELECT {{fields}}
FROM {{by_phone_tail}} WHERE u.phone_tail = :tail AND {{visible}} LIMIT :most;

-- window_users: how far some entries reach, the newest first
SELECT u.id, u.create_time FROM user u WHERE u.id < :before AND u.id >= :stop ORDER BY u.id DESC LIMIT 1 OFFSET :window;

-- page_users: some of them that fit; `state` is any, or active, or blocked
SELECT {{fields}}
FROM user u WHERE u.id < :before AND u.id >= :stop AND {{visible}} AND u.create_time >= :from AND u.create_time <= :to
  AND (:state = 'any' OR (:state = 'blocked') = (u.state = 'blocked' AND COALESCE(u.blocked_until > :now, 1 = 1)))
ORDER BY u.id DESC LIMIT :most;

-- window_blocked: how far some entries of blocked people reach, the newest first
SELECT u.id, u.create_time FROM {{by_state}} WHERE u.state = 'blocked' AND u.id < :before AND u.id >= :stop
ORDER BY u.id DESC LIMIT 1 OFFSET :window;

-- page_blocked: some of them that fit
SELECT {{fields}}
FROM {{by_state}} WHERE u.state = 'blocked' AND u.id < :before AND u.id >= :stop AND {{visible}}
  AND u.create_time >= :from AND u.create_time <= :to AND COALESCE(u.blocked_until > :now, 1 = 1)
ORDER BY u.id DESC LIMIT :most;

-- blocked_generations: the generations of those who are blocked, in order
SELECT u.id, u.generation FROM {{by_state}} WHERE u.state = 'blocked' AND u.id > :after ORDER BY u.id LIMIT :most;

-- users_of_unionid: one person in the mini programs that the operator may see
SELECT {{fields}}
FROM user u WHERE u.unionid = :unionid AND {{visible}} LIMIT :most;

-- set_person: from now on these are one person
UPDATE user SET person = :person WHERE id IN (:ids);

-- unset_person: they are not any more
UPDATE user SET person = NULL WHERE id IN (:ids);
