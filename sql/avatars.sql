-- The pictures that people sent of themselves: one for each person, already made small. Column order is the field order
-- of stores.avatars.Avatar.

-- avatar_named: a picture by the random name under which it is served; WeChat loads those that are held by theirs
SELECT user_id, name, kind, body, at FROM avatar WHERE name = :name
UNION ALL
SELECT user_id, name, kind, body, at FROM held_avatar WHERE name = :name;

-- avatar_of: what is kept of a person's picture, without the picture
SELECT name, kind, LENGTH(body), at FROM avatar WHERE user_id = :user_id;

-- held_avatar_of: a person's picture that waits for WeChat's verdict
SELECT user_id, name, kind, body, at FROM held_avatar WHERE user_id = :user_id;

-- keep_avatar: a person's new picture takes the place of the old one
-- on sqlite
INSERT INTO avatar (user_id, name, kind, body, at) VALUES (:user_id, :name, :kind, :body, :at)
ON CONFLICT (user_id) DO UPDATE
SET name = excluded.name, kind = excluded.kind, body = excluded.body, at = excluded.at;
-- on mysql
INSERT INTO avatar (user_id, name, kind, body, at) VALUES (:user_id, :name, :kind, :body, :at)
ON DUPLICATE KEY UPDATE name = VALUES(name), kind = VALUES(kind), body = VALUES(body), at = VALUES(at);

-- drop_avatar: the picture goes
DELETE FROM avatar WHERE user_id = :user_id;

-- drop_avatar_named: it goes, unless another has come in its place
DELETE FROM avatar WHERE user_id = :user_id AND name = :name;

-- point_to_avatar: the profile shows the picture
UPDATE user SET avatar_url = :avatar_url WHERE id = :user_id;

-- hold_avatar: a picture that waits for WeChat's verdict, in the place of one that waited before
-- on sqlite
INSERT INTO held_avatar (user_id, name, kind, body, at) VALUES (:user_id, :name, :kind, :body, :at)
ON CONFLICT (user_id) DO UPDATE
SET name = excluded.name, kind = excluded.kind, body = excluded.body, at = excluded.at, trace_id = NULL;
-- on mysql
INSERT INTO held_avatar (user_id, name, kind, body, at) VALUES (:user_id, :name, :kind, :body, :at)
ON DUPLICATE KEY UPDATE name = VALUES(name), kind = VALUES(kind), body = VALUES(body), at = VALUES(at), trace_id = NULL;

-- expect_verdict: WeChat has said by what its verdict will be known
UPDATE held_avatar SET trace_id = :trace_id WHERE user_id = :user_id AND name = :name;

-- awaiting_verdict: the held picture that a verdict is about, of a person of this mini program
SELECT h.user_id, h.name, h.kind, h.body, h.at
FROM held_avatar h JOIN user u ON u.id = h.user_id
WHERE h.trace_id = :trace_id AND u.appid = :appid;

-- drop_held_avatar: what is held of a person goes
DELETE FROM held_avatar WHERE user_id = :user_id;

-- drop_held_avatar_named: it goes, unless another has come in its place
DELETE FROM held_avatar WHERE user_id = :user_id AND name = :name;

-- forget_held_avatars: those that waited too long
DELETE FROM held_avatar WHERE at < :before;
