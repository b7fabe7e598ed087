// A phone with the example's mini program on it: `node phone.js`, with SERVER, SIMULATOR, APPID and PERSON in the
// environment. Each line on stdin is one deed, {"n", "deed", …}; each line on stdout is what came of it, {"n", "ok"} or
// {"n", "refused"}. Time stands still but for the deed `later`, and every wait of the client ends at once, written down.
'use strict'

const path = require('node:path')
const readline = require('node:readline')
const { makeWx } = require('./wx.js')

const EXAMPLE = path.resolve(__dirname, '../../examples/miniprogram')
const { SERVER, SIMULATOR, APPID, PERSON, PC, TITLE_CASE } = process.env

const titled = (name) => name.replace(/\b[a-z]/g, (letter) => letter.toUpperCase())
const wx = makeWx({
  simulator: SIMULATOR,
  appid: APPID,
  person: PERSON,
  pc: Boolean(PC),
  headerCase: TITLE_CASE ? titled : undefined,
})
global.wx = wx

let time = 1e12
const waits = []
let duringWait = null
let ended = []
let stay = true
let menshen

function install() {
  const { create } = require(`${EXAMPLE}/menshen.js`)
  menshen = create({
    server: SERVER,
    trusted: ['http://127.0.0.1:9/shop'],
    now: () => time,
    wait: async (ms) => {
      waits.push(ms)
      await duringWait
      time += ms
    },
  })
  menshen.onEnded((reason) => {
    ended.push(reason)
    return stay
  })
}

/** The real app.js and page, as the mini program's frame would start them. */
function openPage() {
  let app
  let page
  global.App = (given) => (app = given)
  global.getApp = () => app
  global.Page = (given) => (page = given)
  require(`${EXAMPLE}/config.js`).server = SERVER
  require(`${EXAMPLE}/app.js`)
  app.onLaunch()
  require(`${EXAMPLE}/pages/index/index.js`)
  page.setData = (changes) => Object.assign(page.data, changes)
  return page
}

let page
let letGo = null
const deeds = {
  request: ({ options }) => menshen.request(options),
  many: ({ options, times }) => Promise.all(Array.from({ length: times }, () => menshen.request(options))),
  manyTried: ({ options, times }) =>
    Promise.all(Array.from({ length: times }, () => menshen.request(options).then(() => null, (refused) => told(refused)))),
  login: () => menshen.login(),
  logout: () => menshen.logout(),
  restart: async () => install(),
  later: async ({ seconds }) => void (time += 1000 * seconds),
  failingLogins: async ({ times }) => void (wx.counts.failingLogins = times),
  decline: async () => void (stay = false),
  holdWaits: async () => void (duringWait = new Promise((resolve) => (letGo = resolve))),
  letGo: async () => letGo(),
  stored: async () => wx.getStorageSync('menshen.token'),
  store: async ({ token }) => (wx.setStorageSync('menshen.token', token), install()),
  seen: async () => ({ logins: wx.counts.logins, requests: wx.counts.requests, waits, ended }),
  openPage: async () => ((page = openPage()), await page.onLoad(), page.data),
  tap: async ({ handler, dataset }) => (await page[handler]({ currentTarget: { dataset } }), page.data),
  toasts: async () => wx.toasts,
}

function told({ message, status, errcode, retry, reason, requestId, retryAfterSeconds }) {
  return { message, status, errcode, retry, reason, requestId, retryAfterSeconds }
}

install()
readline
  .createInterface({ input: process.stdin })
  .on('line', (line) => {
    const { n, deed, ...given } = JSON.parse(line)
    const tell = (outcome) => process.stdout.write(`${JSON.stringify({ n, ...outcome })}\n`)
    deeds[deed](given).then(
      (ok) => tell({ ok: ok === undefined ? null : ok }),
      (refused) => tell(refused.retry ? { refused: told(refused) } : { broken: String(refused.stack) }),
    )
  })
  .on('close', () => process.exit(0))
