// Somebody's server on Tencent's wafer-node-session as it was published: `node session_server.js`, with WECHAT, APPID and
// APPSECRET in the environment. It prints its port. WeChat is our simulator; nothing else of the package is changed.
'use strict';

const http = require('http');
const request = require('request');

const { WECHAT, APPID, APPSECRET } = process.env;
const get = request.get;
request.get = (options, called) => get({ ...options, url: options.url.replace('https://api.weixin.qq.com', WECHAT) }, called);

const session = require('wafer-node-session')({ appId: APPID, appSecret: APPSECRET, loginPath: '/login' });

const server = http.createServer((asked, response) => {
  response.json = (body) => {
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify(body));
  };
  session(asked, response, () => {
    response.json({ code: 0, message: 'ok', data: { userInfo: asked.session ? asked.session.userInfo : null } });
  });
});

server.listen(0, '127.0.0.1', () => process.stdout.write(`session server on port ${server.address().port}\n`));
