import { expect, test } from 'vitest'
import { newAgentKeys } from '../harness/keys.ts'
import { clientHome, keyFile, noPython, runClient, writeKey } from './client-process.ts'
import { startWorld } from './world.ts'

test.skipIf(noPython !== undefined)(
  `vault §27.5: the socket that a failed login leaves open is closed by the daemon${noPython ? ` (${noPython})` : ''}`,
  async () => {
    await using world = await startWorld()
    const home = clientHome()
    writeKey(keyFile(home, 'my-agent'), newAgentKeys('my-agent').seed)
    const script = `
import time
from sanctum_ai import SanctumClient
client = SanctumClient("my-agent", socket_path=args[0])
tell(failed=caught(client.__enter__)["class"])
started = time.monotonic()
client._sock.settimeout(18)
tell(end=len(client._sock.recv(1)), after=time.monotonic() - started)
`
    const client = runClient('python', script, { home, args: [world.vestry.home.vaultSocket] })
    const [failed, end] = await client.rest(20_000)
    expect(failed).toEqual({ failed: 'AuthError' })
    expect(end.end).toBe(0)
    expect(end.after).toBeGreaterThan(5)
  },
  25_000,
)
