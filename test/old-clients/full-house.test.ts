import { describe, expect, test } from 'vitest'
import { noPython, runClient } from './client-process.ts'
import { startWorld } from './world.ts'

/** One more connection than the daemon takes is told so, and sent off without a reset. */
describe('a daemon that takes no more connections', () => {
  test.skipIf(noPython !== undefined).each(['unix', 'tcp'])(
    `raises RateLimited in the Python client${noPython ? ` (${noPython})` : ''}: %s`,
    async (transport) => {
      await using world = await startWorld({ vault: { connections: 1 } })
      const { host, port } = world.tcp
      const where = transport === 'tcp' ? `, host="${host}", port=${port}` : ''
      const script = `
from sanctum_ai import SanctumClient
first = SanctumClient("my-agent"${where}).connect()
refused = [caught(lambda: SanctumClient("my-agent"${where}).connect()) for _ in range(50)]
tell(classes=sorted({each["class"] for each in refused}), codes=sorted({str(each.get("code")) for each in refused}))
first.close()
`
      const [told] = await runClient('python', script, { home: world.home() }).rest()
      expect(told).toEqual({ classes: ['RateLimited'], codes: ['RATE_LIMITED'] })
    },
  )

  test.each(['unix', 'tcp'])('does not crash the Node client: %s', async (transport) => {
    await using world = await startWorld({ vault: { connections: 1 } })
    const { host, port } = world.tcp
    const script = `
const where = args[0] === 'tcp' ? { host: args[1], port: Number(args[2]) } : {}
const first = await new SanctumClient('my-agent', where).connect()
const refused = Array.from({ length: 20 }, () => {
  const client = new SanctumClient('my-agent', where)
  client.connect() // settles only by id, so never
  return client
})
await new Promise((resolve) => setTimeout(resolve, 500))
const ended = await Promise.all(refused.map(({ socket }) =>
  socket.closed || new Promise((resolve) => socket.once('close', (hadError) => resolve(!hadError)))))
tell({ ended: ended.filter(Boolean).length })
await first.close()
`
    const args = [transport, host, String(port)]
    const client = runClient('node', script, { home: world.home(), args })
    expect(await client.hear()).toEqual({ ended: 20 })
    expect(await client.ended()).toMatchObject({ code: 0 })
  })
})
