// A `wx` for Node that behaves as WeChat documents it: wx.login asks the simulator, wx.request speaks real HTTP.
'use strict'

const http = require('node:http')

const nothing = () => {}
const METHODS = ['OPTIONS', 'GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'TRACE', 'CONNECT'] // there is no PATCH
const AT_ONCE = 10 // requests; WeChat queues the others

function ask(method, url, headers, body, done, failed) {
  const request = http.request(new URL(url), { method, headers }, (response) => {
    const parts = []
    response.on('data', (part) => parts.push(part))
    response.on('end', () => done(response.statusCode, response.headers, Buffer.concat(parts).toString('utf8')))
  })
  request.on('error', failed)
  request.end(body)
}

/**
 * `simulator`: its base URL. `person`: who holds the phone. `pc`: fails a request that is answered 401, as WeChat on a PC
 * was reported to. `headerCase`: how the phone spells the answer's header names.
 */
function makeWx({ simulator, appid, person, pc = false, headerCase = (name) => name.toLowerCase() }) {
  const storage = new Map()
  const counts = { logins: 0, requests: 0, failingLogins: 0 }
  const toasts = []
  const queue = []
  let under = 0

  function next() {
    if (under === AT_ONCE || !queue.length) return
    under += 1
    queue.shift()(() => {
      under -= 1
      next()
    })
  }

  function login({ success = nothing, fail = nothing, complete = nothing }) {
    counts.logins += 1
    const end = (callback, result) => {
      callback(result)
      complete(result)
    }
    if (counts.failingLogins) {
      counts.failingLogins -= 1
      setImmediate(() => end(fail, { errMsg: 'login:fail', errno: 600000 }))
      return
    }
    const body = JSON.stringify({ appid, user: person })
    const headers = { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) }
    const answered = (_status, _headers, text) => end(success, { code: JSON.parse(text).code, errMsg: 'login:ok' })
    ask('POST', `${simulator}/_sim/login`, headers, body, answered, () => end(fail, { errMsg: 'login:fail' }))
  }

  function request(options) {
    const { data, header = {}, method = 'GET', dataType = 'json' } = options
    const { success = nothing, fail = nothing, complete = nothing } = options
    counts.requests += 1
    const end = (callback, result) => {
      callback(result)
      complete(result)
    }
    if (!METHODS.includes(method)) {
      setImmediate(() => end(fail, { errMsg: 'request:fail method is invalid', errno: 600009 }))
      return
    }
    const headers = { 'content-type': 'application/json' }
    for (const [name, value] of Object.entries(header)) {
      if (name.toLowerCase() !== 'referer') headers[name.toLowerCase()] = value // the Referer is WeChat's own
    }
    headers.referer = `https://servicewechat.com/${appid}/12/page-frame.html`
    const url = new URL(options.url)
    let body
    if (data !== undefined && method === 'GET') {
      for (const [name, value] of Object.entries(data)) url.searchParams.append(name, String(value))
    } else if (data !== undefined) {
      body = typeof data === 'string' ? data : JSON.stringify(data)
    }
    if (method !== 'GET') headers['content-length'] = Buffer.byteLength(body || '')
    queue.push((over) => {
      const answered = (statusCode, answerHeaders, text) => {
        over()
        if (pc && statusCode === 401) {
          end(fail, { errMsg: 'request:fail', errno: 600001 })
          return
        }
        const spelt = Object.entries(answerHeaders).map(([name, value]) => [headerCase(name), value])
        end(success, { data: parsed(text, dataType), statusCode, header: Object.fromEntries(spelt), errMsg: 'request:ok' })
      }
      const failed = (error) => {
        over()
        end(fail, { errMsg: `request:fail ${error.code || error.message}`, errno: 600001 })
      }
      ask(method, url, headers, body, answered, failed)
    })
    next()
  }

  return {
    counts,
    toasts,
    login,
    request,
    getStorageSync: (key) => (storage.has(key) ? JSON.parse(storage.get(key)) : ''),
    setStorageSync: (key, value) => void storage.set(key, JSON.stringify(value)),
    removeStorageSync: (key) => void storage.delete(key),
    showToast: ({ title }) => void toasts.push(title),
    stopPullDownRefresh: nothing,
  }
}

function parsed(text, dataType) {
  if (dataType !== 'json') return text
  try {
    return JSON.parse(text)
  } catch {
    return text // wx.request hands over as text what is no JSON
  }
}

module.exports = { makeWx }
