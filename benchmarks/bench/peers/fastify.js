'use strict'

// Fastify 5 with node-redis and mysql2; its answers have schemas, which is how Fastify writes JSON fast.

const fastify = require('fastify')
const { sessions, verify, login, requestId, statusOf } = require('./shared')

const app = fastify({ bodyLimit: 16384, genReqId: requestId })
const text = { type: 'string' }
const number = { type: 'integer' }
const nullable = { type: ['string', 'null'] }
const refused = { errcode: number, errmsg: text, error: text, retry: text, request_id: text }

const schemaOf = (properties) => ({
  response: {
    200: { type: 'object', properties: { errcode: number, errmsg: text, ...properties, request_id: text } },
    '4xx': { type: 'object', properties: refused }
  }
})
const user = {
  type: 'object',
  properties: {
    id: number, nickname: nullable, avatar_url: nullable, phone: nullable, created_at: number, new: { type: 'boolean' }
  }
}

app.get('/api/verify', {
  schema: schemaOf({ user_id: number, appid: text, expires_in: number }),
  handler: async (request, reply) => answer(request, reply, await verify(request.headers.authorization))
})
app.post('/api/login', {
  schema: schemaOf({ token: text, expires_in: number, user }),
  handler: async (request, reply) => answer(request, reply, await login(request.body))
})

function answer (request, reply, body) {
  reply.code(statusOf(body)).header('Cache-Control', 'no-store').header('X-Request-Id', request.id)
  body.request_id = request.id
  return body
}

sessions.connect()
  .then(() => app.listen({ port: Number(process.env.PORT), host: '127.0.0.1' }))
  .then(() => console.log('ready'))
