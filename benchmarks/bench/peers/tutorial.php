<?php
// PHP as the tutorials have it: a connection to each store for each request. With KEEP=1 it keeps them between requests
// (pconnect, a persistent PDO), which no tutorial does and who knows PHP would.

const WEEK = 7 * 86400;
const FIND = 'SELECT id, nickname, avatar_url, phone, created_at FROM user WHERE appid = ? AND openid = ?';
const ADD = 'INSERT IGNORE INTO user (appid, openid, created_at) VALUES (?, ?, UNIX_TIMESTAMP())';
const NO_TOKEN = ['errcode' => 401001, 'errmsg' => 'no token was sent', 'retry' => 'login'];
const GONE = ['errcode' => 401002, 'errmsg' => 'session is not valid', 'error' => 'invalid_token', 'retry' => 'login'];

function sessions(): Redis
{
    $redis = new Redis();
    $at = ['127.0.0.1', (int) $_SERVER['REDIS_PORT']];
    $_SERVER['KEEP'] ? $redis->pconnect(...$at) : $redis->connect(...$at);
    $redis->auth([$_SERVER['REDIS_USER'], $_SERVER['REDIS_PASSWORD']]);
    $redis->select((int) $_SERVER['REDIS_DB']);
    return $redis;
}

function key_of(string $token): string
{
    return 'session:' . hash('sha256', $token);
}

function verify(string $authorization): array
{
    if ($authorization === '') {
        return NO_TOKEN;
    }
    $formed = preg_match('/^Bearer (mps_[A-Za-z0-9_-]{43})$/D', $authorization, $found);
    $kept = $formed ? sessions()->get(key_of($found[1])) : false;
    if ($kept === false) {
        return GONE;
    }
    $session = json_decode($kept, true);
    $left = $session['expires_at'] - time();
    return ['errcode' => 0, 'errmsg' => 'ok', 'user_id' => $session['user_id'], 'appid' => $session['appid'],
        'expires_in' => $left];
}

function login(string $code): array
{
    if (!preg_match('/^[0-9A-Za-z_-]{1,128}$/D', $code)) {
        return ['errcode' => 400003, 'errmsg' => 'malformed code'];
    }
    $identity = identify($code);
    $user = see($identity['openid']);
    $token = 'mps_' . rtrim(strtr(base64_encode(random_bytes(32)), '+/', '-_'), '=');
    $now = time();
    $session = ['user_id' => $user['id'], 'appid' => $_SERVER['APPID'], 'session_key' => $identity['session_key'],
        'created_at' => $now, 'expires_at' => $now + WEEK];
    sessions()->setex(key_of($token), WEEK, json_encode($session));
    return ['errcode' => 0, 'errmsg' => 'ok', 'token' => $token, 'expires_in' => WEEK, 'user' => $user];
}

function identify(string $code): array
{
    $asked = http_build_query(['appid' => $_SERVER['APPID'], 'secret' => $_SERVER['APPSECRET'], 'js_code' => $code,
        'grant_type' => 'authorization_code']);
    $curl = curl_init($_SERVER['WECHAT'] . '/sns/jscode2session?' . $asked);
    curl_setopt_array($curl, [CURLOPT_RETURNTRANSFER => true, CURLOPT_TIMEOUT => 4]);
    return json_decode(curl_exec($curl), true);
}

function see(string $openid): array
{
    $options = [PDO::ATTR_PERSISTENT => (bool) $_SERVER['KEEP'], PDO::ATTR_DEFAULT_FETCH_MODE => PDO::FETCH_ASSOC];
    $users = new PDO($_SERVER['MYSQL_DSN'], $_SERVER['MYSQL_USER'], $_SERVER['MYSQL_PASSWORD'], $options);
    $find = $users->prepare(FIND);
    $find->execute([$_SERVER['APPID'], $openid]);
    if ($user = $find->fetch()) {
        return $user + ['new' => false];
    }
    $users->prepare(ADD)->execute([$_SERVER['APPID'], $openid]);
    $find->execute([$_SERVER['APPID'], $openid]);
    return $find->fetch() + ['new' => true];
}

$answer = $_SERVER['REQUEST_METHOD'] === 'POST'
    ? login(json_decode(file_get_contents('php://input'), true)['code'] ?? '')
    : verify($_SERVER['HTTP_AUTHORIZATION'] ?? '');
$answer['request_id'] = bin2hex(random_bytes(8));
http_response_code($answer['errcode'] === 0 ? 200 : intdiv($answer['errcode'], 1000));
header('Content-Type: application/json; charset=utf-8');
header('Cache-Control: no-store');
header('X-Request-Id: ' . $answer['request_id']);
echo json_encode($answer);
