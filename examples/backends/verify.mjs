// Who sent this request? Ask Menshen, which knows at once when a token was taken back. Node 18 and newer need no package.
const MENSHEN = process.env.MENSHEN || 'http://127.0.0.1:8000'

// The phone's own header in; { status: 200, body: { user_id, appid } } out, or what to answer the phone.
export function verify(authorization) {
  return ask('/api/verify', { headers: { Authorization: authorization } })
}

// The same with a service key, and with the openid: { status: 200, body: { active: true, sub, openid, … } }.
export function introspect(token, serviceKey) {
  const headers = { Authorization: `Bearer ${serviceKey}` }
  return ask('/partner/introspect', { method: 'POST', headers, body: new URLSearchParams({ token }) })
}

async function ask(path, options) {
  try {
    const answer = await fetch(MENSHEN + path, { ...options, redirect: 'manual', signal: AbortSignal.timeout(5000) })
    const body = await answer.json()
    // With the setting API_STATUS=wechat a refusal comes as 200: its errcode begins with the real status.
    return { status: body?.errcode ? Math.floor(body.errcode / 1000) : answer.status, body }
  } catch {
    return { status: 503, body: { retry: 'backoff' } } // never 401: then every phone would log in again at once
  }
}
