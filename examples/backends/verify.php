<?php
// Who sent this request? Ask Menshen, which knows at once when a token was taken back. No extension is needed.

// The phone's own header in; [200, ['user_id' => …, 'appid' => …]] out, or what to answer the phone, status and body.
function verify(string $authorization): array
{
    return ask('GET', '/api/verify', $authorization);
}

// The same with a service key, and with the openid: [200, ['active' => true, 'sub' => …, 'openid' => …]].
function introspect(string $token, string $serviceKey): array
{
    return ask('POST', '/partner/introspect', "Bearer $serviceKey", http_build_query(['token' => $token]));
}

function ask(string $method, string $path, string $authorization, string $form = ''): array
{
    $headers = ["Authorization: $authorization", 'Content-Type: application/x-www-form-urlencoded'];
    $options = ['method' => $method, 'header' => $headers, 'content' => $form, 'timeout' => 5];
    $context = stream_context_create(['http' => $options + ['ignore_errors' => true, 'follow_location' => 0]]);
    $text = @file_get_contents((getenv('MENSHEN') ?: 'http://127.0.0.1:8000') . $path, false, $context);
    $body = $text === false ? null : json_decode($text, true);
    if (!is_array($body) || !preg_match('/^HTTP\S+ (\d{3})/', $http_response_header[0], $status)) {
        return [503, ['retry' => 'backoff']]; // never 401: then every phone would log in again at once
    }
    // With the setting API_STATUS=wechat a refusal comes as 200: its errcode begins with the real status.
    return [empty($body['errcode']) ? (int) $status[1] : intdiv($body['errcode'], 1000), $body];
}
