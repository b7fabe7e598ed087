-- People who come from another program, with the ids they had there.

-- people_by_id: who has these ids here
SELECT id, appid, openid FROM user WHERE id IN (:ids);

-- erased_person: whether somebody of this id was erased here, whom no import may bring back
SELECT n FROM audit WHERE target = :target AND deed = 'user.erase' LIMIT 1;

-- import_user: a person with the id of the other program; nobody when somebody here has the id or the openid
-- on sqlite
INSERT INTO user (id, appid, openid, unionid, nickname, phone, create_time, last_login_time)
VALUES (:id, :appid, :openid, :unionid, :nickname, :phone, :at, :at)
ON CONFLICT DO NOTHING;
-- on mysql
INSERT INTO user (id, appid, openid, unionid, nickname, phone, create_time, last_login_time)
VALUES (:id, :appid, :openid, :unionid, :nickname, :phone, :at, :at)
ON DUPLICATE KEY UPDATE id = user.id;
