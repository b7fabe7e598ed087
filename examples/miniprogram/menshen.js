// Login and requests of a mini program at a Menshen server. Copy this file; it needs nothing besides wx.
//
//   const menshen = require('./menshen.js').create({ server: 'https://login.example.com' })
//   menshen.request({ url: '/api/me' }).then((me) => …, (refusal) => …)
//
// Logging in needs no call of its own: a request without a token logs in first, and all that wait share one wx.login.
// What fails is an Error with status, errcode, retry (login, backoff, fix, never), reason, retryAfterSeconds, requestId.
'use strict'

const STORED_AS = 'menshen.token'
const LOGGED_OUT = 'logged out' // stands where the token was, so that a restart of the mini program logs nobody in again
const RETRIES = ['login', 'backoff', 'fix', 'never']
const WAIT_SECONDS = 30 // where a server says "later" without saying when
const MOST_WAITED_SECONDS = 10 // a longer wait is the page's to tell, not ours to sit out
const MOST_WAITS = 2
const LOGIN_PAUSE_SECONDS = 60 // between two wx.login while logging in keeps failing

// Up to half as long again, so that phones which failed together do not come back together.
function jittered(seconds) {
  return seconds * (1 + Math.random() / 2)
}

// The names come in whatever case the phone or a proxy likes.
function retryAfter(header) {
  const name = Object.keys(header || {}).find((each) => each.toLowerCase() === 'retry-after')
  const seconds = name ? Number(header[name]) : NaN
  return seconds >= 0 ? seconds : null
}

// What to do about an answer that does not say so itself: at Menshen's address it came from a proxy or a hotel's Wi-Fi.
function retryByStatus(status, ours) {
  if (ours || !status || status === 429 || status >= 500) return 'backoff'
  return status === 401 ? 'login' : 'fix'
}

function refusalOf(result, ours) {
  const body = result.data && typeof result.data === 'object' ? result.data : {}
  const status = result.statusCode || 0
  return Object.assign(new Error(body.errmsg || result.errMsg || 'no usable answer'), {
    status,
    errcode: body.errcode || 0,
    retry: RETRIES.indexOf(body.retry) >= 0 ? body.retry : retryByStatus(status, ours),
    reason: body.reason || null,
    requestId: body.request_id || null,
    retryAfterSeconds: retryAfter(result.header),
  })
}

function refusal(errmsg, retry) {
  return refusalOf({ data: { errmsg, retry } }, true)
}

// With API_STATUS=wechat a refusal comes with status 200, so the body decides.
function succeeded(result, ours) {
  const errcode = result.data && typeof result.data === 'object' ? result.data.errcode : undefined
  return result.statusCode >= 200 && result.statusCode < 300 && (errcode === 0 || (!ours && !errcode))
}

const phoneStorage = { get: () => wx.getStorageSync(STORED_AS), set: (value) => wx.setStorageSync(STORED_AS, value) }
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

/**
 * `trusted`: the base URLs of your own back ends that may see the token too; request() takes their full URLs.
 * `appid`: only where one server has several mini programs. `now` and `wait` are for tests.
 * @param {{server: string, appid?: string, trusted?: string[], storage?: {get(): string, set(value: string): void},
 *   now?: () => number, wait?: (ms: number) => Promise<any>}} options
 */
function create({ server, appid, trusted = [], storage = phoneStorage, now = Date.now, wait = sleep }) {
  let kept = storage.get() || '' // the token, LOGGED_OUT, or nothing yet
  let flight = null // the login that is under way
  let failures = 0 // of logins, in a row
  let notBefore = 0
  let lastFailure = null
  const listeners = []

  function keep(value) {
    kept = value
    storage.set(value)
  }

  function send(options, token) {
    const ours = options.url.charAt(0) === '/'
    if (!ours && !trusted.some((base) => options.url.indexOf(base.replace(/\/*$/, '/')) === 0)) {
      return Promise.reject(refusal('the token is not for ' + options.url, 'fix'))
    }
    return new Promise((resolve, reject) => {
      wx.request(Object.assign({}, options, {
        url: ours ? server + options.url : options.url,
        header: Object.assign({}, options.header, token ? { Authorization: 'Bearer ' + token } : {}),
        success: (result) => (succeeded(result, ours) ? resolve(result.data) : reject(refusalOf(result, ours))),
        // WeChat on a PC was seen to come here with a 401. It cannot be told from a lost network then, so the token is
        // kept; the server's setting API_STATUS=wechat mends it.
        fail: (result) => reject(refusalOf(result, ours)),
        complete: undefined,
      }))
    })
  }

  function freshCode() {
    return new Promise((resolve, reject) => wx.login({
      timeout: 10000,
      success: (result) => resolve(result.code),
      fail: (result) => reject(refusalOf(result, true)),
    }))
  }

  // `again`: a code that was refused or lost may be followed by a fresh one.
  function exchange(again) {
    return freshCode()
      .then((code) => send({ url: '/api/login', method: 'POST', data: appid ? { code, appid } : { code } }, held()))
      .catch((failure) => {
        if (failure.retry === 'login' && again) return exchange(false)
        throw failure
      })
  }

  const held = () => (kept === LOGGED_OUT ? '' : kept)

  // The first failure may be tried again when the server says; from then on it is one wx.login a minute.
  function loginFailed(failure) {
    failures += 1
    const asked = failure.retryAfterSeconds === null ? WAIT_SECONDS : failure.retryAfterSeconds
    const soon = failure.retry === 'backoff' && failures === 1
    notBefore = now() + 1000 * jittered(soon ? asked : Math.max(asked, LOGIN_PAUSE_SECONDS))
    lastFailure = failure
  }

  // Logs in, also after logout(), and gives the person; a session that there was ends.
  function login() {
    if (flight) return flight
    const early = notBefore - now()
    if (early > 0) {
      const retry = lastFailure.retry === 'login' ? 'backoff' : lastFailure.retry
      const told = Object.assign(new Error(lastFailure.message), lastFailure, { retry })
      return Promise.reject(Object.assign(told, { retryAfterSeconds: Math.ceil(early / 1000) }))
    }
    flight = exchange(failures === 0).then(
      (answer) => {
        flight = null
        failures = 0
        keep(answer.token)
        return answer.user
      },
      (failure) => {
        flight = null
        loginFailed(failure)
        throw failure
      },
    )
    return flight
  }

  // The server does not know the token any more. A listener that returns false stops the silent login.
  function forget(token, cause) {
    if (token !== kept) return // somebody else noticed first, or has logged in meanwhile
    keep('')
    const answers = listeners.map((listener) => listener(cause.reason))
    if (answers.indexOf(false) >= 0) keep(LOGGED_OUT)
  }

  function attempt(options, mayLogIn, waits) {
    if (kept === LOGGED_OUT && !flight) return Promise.reject(refusal('logged out', 'login'))
    let token = ''
    const ready = flight || !kept ? login() : Promise.resolve()
    return ready.then(() => {
      token = held()
      return send(options, token)
    }).catch((failure) => {
      if (failure.retry === 'login' && token) {
        forget(token, failure)
        if (mayLogIn) return attempt(options, false, waits)
        loginFailed(failure) // a token of a moment ago is refused: another login would not help either
      }
      const seconds = failure.retryAfterSeconds
      if (failure.retry !== 'backoff' || !waits || seconds === null || seconds > MOST_WAITED_SECONDS) throw failure
      return wait(1000 * jittered(seconds)).then(() => attempt(options, mayLogIn, waits - 1))
    })
  }

  // Ends the session. When that fails the token is kept, because it still opens everything.
  function logout() {
    const token = held()
    keep(LOGGED_OUT) // first, so that a request under way does not log in again
    if (!token) return Promise.resolve()
    return send({ url: '/api/logout', method: 'POST' }, token).then(() => undefined, (failure) => {
      if (failure.retry === 'login') return
      if (kept === LOGGED_OUT) keep(token)
      throw failure
    })
  }

  return {
    request: (options) => attempt(options, true, MOST_WAITS), // as wx.request, but gives a promise of the body
    login,
    logout,
    onEnded: (listener) => void listeners.push(listener), // it hears why a session ended, as in docs/api.md, or null
  }
}

module.exports = { create }
