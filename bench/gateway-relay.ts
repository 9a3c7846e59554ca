/** A relay on the same HTTP libraries and nothing else: what standing in the middle costs by itself. */
import type { AddressInfo } from 'node:net'
import fastify from 'fastify'
import { Pool } from 'undici'

const upstream = new Pool(process.argv[2] ?? '', { connections: 32 })
const app = fastify()
app.post('/api/proxy-request', async (request) => {
  const { params } = request.body as { params: unknown }
  const reply = await upstream.request({
    method: 'POST',
    path: '/ask',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(params),
  })
  return { success: true, data: await reply.body.json() }
})
await app.listen({ port: 0, host: '127.0.0.1' })
process.stdout.write(`ready ${(app.server.address() as AddressInfo).port}\n`)
process.on('SIGTERM', () => process.exit(0))
