'use strict'

// What the two Node peers have in common: the stores, asked as their drivers' documentation advises.

const { createHash, randomBytes } = require('node:crypto')
const mysql = require('mysql2/promise')
const { createClient } = require('redis')
const { Pool } = require('undici')

const APPID = process.env.APPID
const WEEK = 7 * 86400
const TOKEN = /^Bearer (mps_[A-Za-z0-9_-]{43})$/
const CODE = /^[0-9A-Za-z_-]{1,128}$/

const sessions = createClient({ url: process.env.REDIS })
const users = mysql.createPool({ uri: process.env.MYSQL, connectionLimit: 10 })
const wechat = new Pool(process.env.WECHAT, { connections: 100 })

const requestId = () => randomBytes(8).toString('hex')
const keyOf = (token) => 'session:' + createHash('sha256').update(token).digest('hex')
const GONE = { errcode: 401002, errmsg: 'session is not valid', error: 'invalid_token', retry: 'login' }
const NO_TOKEN = { errcode: 401001, errmsg: 'no token was sent', retry: 'login' }

// A body: errcode 0 is success.
async function verify (authorization) {
  if (!authorization) return NO_TOKEN
  const found = TOKEN.exec(authorization)
  const kept = found && await sessions.get(keyOf(found[1]))
  if (!kept) return GONE
  const session = JSON.parse(kept)
  const left = session.expires_at - Math.floor(Date.now() / 1000)
  return { errcode: 0, errmsg: 'ok', user_id: session.user_id, appid: session.appid, expires_in: left }
}

async function login ({ code }) {
  if (typeof code !== 'string' || !CODE.test(code)) return { errcode: 400003, errmsg: 'malformed code' }
  const { openid, session_key: sessionKey } = await identify(code)
  const { user, isNew } = await see(openid)
  const token = 'mps_' + randomBytes(32).toString('base64url')
  const now = Math.floor(Date.now() / 1000)
  const session = { user_id: user.id, appid: APPID, session_key: sessionKey, created_at: now, expires_at: now + WEEK }
  await sessions.set(keyOf(token), JSON.stringify(session), { expiration: { type: 'EX', value: WEEK } })
  return { errcode: 0, errmsg: 'ok', token, expires_in: WEEK, user: { ...user, new: isNew } }
}

async function identify (code) {
  const asked = new URLSearchParams({
    appid: APPID, secret: process.env.APPSECRET, js_code: code, grant_type: 'authorization_code'
  })
  const answer = await wechat.request({ path: '/sns/jscode2session?' + asked, method: 'GET' })
  return JSON.parse(await answer.body.text())
}

const FIND = 'SELECT id, nickname, avatar_url, phone, created_at FROM user WHERE appid = ? AND openid = ?'
const ADD = 'INSERT IGNORE INTO user (appid, openid, created_at) VALUES (?, ?, UNIX_TIMESTAMP())'

async function see (openid) {
  const [known] = await users.execute(FIND, [APPID, openid])
  if (known.length) return { user: known[0], isNew: false }
  await users.execute(ADD, [APPID, openid])
  const [added] = await users.execute(FIND, [APPID, openid])
  return { user: added[0], isNew: true }
}

const statusOf = (body) => body.errcode === 0 ? 200 : Math.floor(body.errcode / 1000)

module.exports = { sessions, verify, login, requestId, statusOf }
