import { createServer } from 'node:net'
import { SanctumClient } from '@vestry/sdk/vault'
import { expect, test } from 'vitest'
import { keyFile, noPython, runClient } from './client-process.ts'
import { SECRET, startWorld } from './world.ts'

/** The port that the user's own examples dial; on a developer's machine a Vault may sit there. */
const taken = await new Promise<boolean>((resolve) => {
  const probe = createServer()
  probe.once('error', () => resolve(true))
  probe.listen(8200, '127.0.0.1', () => probe.close(() => resolve(false)))
})

test.skipIf(taken)(
  `vault §28.1: the connection of the quick start to 127.0.0.1:8200 works${taken ? ' (port 8200 is taken)' : ''}`,
  async () => {
    await using world = await startWorld({ vault: { listen_tcp: '127.0.0.1:8200' } })
    const home = world.home()
    const python = `
from sanctum_ai import SanctumClient
# TCP connection
client = SanctumClient("my-agent", host="127.0.0.1", port=8200)
client.connect()
tell(value=client.retrieve("openai/api_key"))
client.close()
`
    const node = `
const client = await new SanctumClient('my-agent', { host: '127.0.0.1', port: 8200 }).connect()
tell({ value: await client.retrieve('openai/api_key') })
await client.close()
`
    if (noPython === undefined) {
      expect(await runClient('python', python, { home }).rest()).toEqual([{ value: SECRET }])
    }
    expect(await runClient('node', node, { home }).rest()).toEqual([{ value: SECRET }])

    const client = new SanctumClient('my-agent', {
      host: '127.0.0.1',
      port: 8200,
      keyPath: keyFile(home, 'my-agent'),
    })
    await client.connect()
    expect(await client.retrieve('openai/api_key')).toBe(SECRET)
    expect((await client.whoami()).transport).toBe('tcp')
    await client.close()
  },
)
