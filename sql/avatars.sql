-- The pictures that people sent of themselves: one for each person, already made small. Column order is the field order
-- of stores.avatars.Avatar.

-- avatar_named: a picture by the random name under which it is served
SELECT user_id, name, kind, body, at FROM avatar WHERE name = :name;

-- avatar_of: what is kept of a person's picture, without the picture
SELECT name, kind, LENGTH(body), at FROM avatar WHERE user_id = :user_id;

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
