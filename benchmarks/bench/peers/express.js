'use strict'

// Express 5 with node-redis and mysql2.

const express = require('express')
const { sessions, verify, login, requestId, statusOf } = require('./shared')

const app = express()
app.disable('x-powered-by')
app.disable('etag')

app.get('/api/verify', async (request, response) => {
  answer(response, await verify(request.headers.authorization))
})
app.post('/api/login', express.json({ limit: '16kb' }), async (request, response) => {
  answer(response, await login(request.body))
})

function answer (response, body) {
  const id = requestId()
  response.status(statusOf(body)).set({ 'Cache-Control': 'no-store', 'X-Request-Id': id })
  response.json({ ...body, request_id: id })
}

sessions.connect().then(() => {
  app.listen(Number(process.env.PORT), '127.0.0.1', () => console.log('ready'))
})
