// Somebody's business server, built on Tencent's Wafer 1 server SDK as it was published: `node business.js`, with
// AUTH_SERVER in the environment. It prints its port. /login and /user are those of the SDK's own example.
'use strict';

const http = require('http');
const qcloud = require('qcloud-weapp-server-sdk');

qcloud.config({ ServerHost: 'business.example', AuthServerUrl: process.env.AUTH_SERVER, TunnelServerUrl: '', TunnelSignatureKey: 'none' });

const server = http.createServer((request, response) => {
  const service = qcloud.LoginService.create(request, response);
  if (request.url === '/login') {
    service.login(() => {}); // it answers by itself
    return;
  }
  service.check((error, result) => {
    if (error) return; // likewise
    response.writeHead(200, { 'Content-Type': 'application/json' });
    response.end(JSON.stringify({ code: 0, message: 'ok', data: { userInfo: result.userInfo } }));
  });
});

server.listen(0, '127.0.0.1', () => process.stdout.write(`business server on port ${server.address().port}\n`));
