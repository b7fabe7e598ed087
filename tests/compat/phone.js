// A phone with a Wafer SDK on it, for the tests: `node phone.js SDK`, with SERVER, WECHAT, APPID and PERSON in the
// environment. The SDK is the package as it was published; `wx` is ours and speaks real HTTP. Each line on stdin is one
// call, {"n", "call", "options"}; each line on stdout is what the SDK called back, {"n", "ok" or "failed", "asked"}.
'use strict';

const http = require('http');
const readline = require('readline');

const { SERVER, WECHAT, APPID, PERSON } = process.env;
const storage = new Map();
let asked = 0;

function ask(method, url, headers, body, done, failed) {
  const target = new URL(url);
  const request = http.request(target, { method, headers }, (response) => {
    const parts = [];
    response.on('data', (part) => parts.push(part));
    response.on('end', () => done(response.statusCode, Buffer.concat(parts).toString(), response.headers));
  });
  request.on('error', (error) => failed({ errMsg: `request:fail ${error.code}` }));
  request.end(body);
}

function simulate(word, fields, done, failed) {
  const body = JSON.stringify(fields);
  const headers = { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) };
  const answered = (status, text) => (status === 200 ? done(JSON.parse(text)) : failed({ errMsg: `${word}: ${text}` }));
  ask('POST', `${WECHAT}/_sim/${word}`, headers, body, answered, failed);
}

const nothing = () => {};

global.wx = {
  login({ success = nothing, fail = nothing }) {
    simulate('login', { appid: APPID, user: PERSON }, ({ code }) => success({ code, errMsg: 'login:ok' }), fail);
  },
  getUserInfo({ success = nothing, fail = nothing }) {
    const userInfo = { nickName: '微信用户', avatarUrl: '' };
    if (process.env.GARBLED) {
      success({ userInfo, encryptedData: Buffer.alloc(64, 7).toString('base64'), iv: Buffer.alloc(16).toString('base64') });
      return;
    }
    const wanted = { appid: APPID, user: PERSON, kind: 'userinfo' };
    simulate('encrypt', wanted, ({ encryptedData, iv }) => success({ userInfo, encryptedData, iv }), fail);
  },
  checkSession({ success = nothing }) {
    success();
  },
  request({ url, method = 'GET', data, header = {}, success = nothing, fail = nothing }) {
    asked += 1;
    const headers = {
      'Content-Type': 'application/json',
      Referer: `https://servicewechat.com/${APPID}/12/page-frame.html`,
      ...header,
    };
    const body = method === 'GET' || data === undefined ? undefined : JSON.stringify(data);
    if (body !== undefined) headers['Content-Length'] = Buffer.byteLength(body);
    const answered = (statusCode, text, answerHeaders) => {
      let read = text;
      try {
        read = JSON.parse(text);
      } catch {
        // wx.request hands over as text what is no JSON
      }
      success({ statusCode, data: read, header: answerHeaders });
    };
    ask(method, url, headers, body, answered, fail);
  },
  // The SDKs take hold of these when they are loaded, for a tunnel that no login needs.
  onSocketOpen: nothing,
  onSocketMessage: nothing,
  onSocketError: nothing,
  onSocketClose: nothing,
  getStorageSync: (key) => (storage.has(key) ? JSON.parse(storage.get(key)) : ''),
  setStorageSync: (key, value) => storage.set(key, JSON.stringify(value)),
  removeStorageSync: (key) => storage.delete(key),
};

const sdk = require(process.argv[2]);
sdk.setLoginUrl(`${SERVER}${process.env.LOGIN_PATH}`);

const calls = {
  stored: (options, done) => done({ ok: [...storage.values()].map((text) => JSON.parse(text))[0] || null }),
  keep: (options, done) => {
    storage.set('weapp_session_F2C224D4-2BCE-4C64-AF9F-A6D872000D1A', JSON.stringify(options));
    done({ ok: null });
  },
};

function failure(error) {
  return { failed: { type: error.type || null, message: error.message || error.errMsg || String(error) } };
}

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const { n, call, options } = JSON.parse(line);
  const before = asked;
  const tell = (outcome) => process.stdout.write(`${JSON.stringify({ n, asked: asked - before, ...outcome })}\n`);
  if (calls[call]) {
    calls[call](options, tell);
    return;
  }
  const given = { ...options };
  if (given.path) given.url = `${SERVER}${given.path}`;
  given.success = (result) => tell({ ok: result.statusCode ? { status: result.statusCode, data: result.data } : result });
  given.fail = (error) => tell(failure(error));
  sdk[call](given);
}).on('close', () => process.exit(0));
