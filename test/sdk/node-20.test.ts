import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { encryptKey } from '@vestry/sdk/vault'
import { expect, test } from 'vitest'
import { findNode } from '../harness/packed.ts'
import { SECRET, startWorld } from '../old-clients/world.ts'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../..', import.meta.url))
const node20 = await findNode(20)

/** Plain JavaScript, without `using`, as Node 20 runs it; the package as built, not its sources. */
const SCRIPT = `
import { SanctumClient, loadKey, AccessDenied } from '@vestry/sdk/vault'
import { writeFileSync } from 'node:fs'
const [socketPath, sealed, dir] = process.argv.slice(1)
writeFileSync(dir + '/k.key.enc', sealed, { mode: 0o600 })
const signer = await loadKey('my-agent', { keyPath: dir + '/k.key.enc', passphrase: 'a long passphrase' })
const client = new SanctumClient('my-agent', { socketPath, signer, pinServer: dir + '/known' })
await client.connect()
const value = await client.retrieve('openai/api_key', 60)
const denied = await client.retrieve('other/secret').catch((error) => error instanceof AccessDenied)
const tracked = client.leases.size
await client.close()
console.log(JSON.stringify({ value, denied, tracked, left: client.leases.size, node: process.version }))
`

test.skipIf(node20 === undefined)(
  `the built client works on Node 20 against a real daemon${node20 === undefined ? ' (no Node 20 here)' : ''}`,
  async () => {
    await using world = await startWorld()

    const sealed = await encryptKey(world.agent.seed, 'a long passphrase')
    const args = [world.vestry.home.vaultSocket, sealed, world.home()]
    const { stdout } = await run(
      node20 as string,
      ['--input-type=module', '--eval', SCRIPT, ...args],
      { cwd: root, env: { PATH: process.env['PATH'] ?? '' } },
    )
    expect(JSON.parse(stdout)).toMatchObject({
      value: SECRET,
      denied: true,
      tracked: 1,
      left: 0,
      node: expect.stringMatching(/^v20\./),
    })
  },
)
