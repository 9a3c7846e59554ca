/** What becomes of claims when the daemon is killed, and when its home is restored from a backup. */
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { InPodClient } from '@vestry/sdk/pod'
import { expect, onTestFinished, test } from 'vitest'
import { restore } from '../../packages/server/src/app/backup.ts'
import { CliHome } from '../../packages/server/src/cli/cli.test-kit.ts'
import { openStore } from '../../packages/server/src/store/store.ts'
import { boot, operator, temporaryHome } from '../harness/boot.ts'
import { newAgentKeys } from '../harness/keys.ts'

const PASSPHRASE = 'what opens the backup too'

test('an acknowledged claim is there after a kill that nobody could prepare for', async () => {
  await using cli = new CliHome()
  const first = await cli.up(['--dev'])
  await cli.json(['agent', 'add', 'reviewer'])
  await cli.json(['agent', 'claims', 'reviewer', '--capability', 'read'])
  const socketPath = join(cli.home, 'run', 'identity.sock')
  await using pod = new InPodClient({ socketPath })
  const { claim_id } = await pod.claim('reviewer')
  first.child.kill('SIGKILL')
  await new Promise((resolve) => first.child.once('exit', resolve))
  rmSync(join(cli.home, 'run', 'ready.json'))
  await cli.up(['--dev'])
  expect(await pod.whoami()).toMatchObject({
    claim_kind: 'claimed',
    agent_claim_id: claim_id,
    capabilities: ['read'],
  })
  expect((await cli.json(['audit', 'verify'])).exitCode).toBe(0)
  expect(await pod.release()).toBe(claim_id)
})

test('a backup brings back what may be claimed, and no claim', async () => {
  using source = temporaryHome()
  const folder = mkdtempSync(join(tmpdir(), 'vestry-backups-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  let made: string
  {
    await using _daemon = await boot(source, { passphrase: PASSPHRASE })
    const admin = await operator(source)
    const { publicKeyHex } = newAgentKeys('reviewer')
    await admin.call('admin.agent.add', { name: 'reviewer', public_key: publicKeyHex })
    const terms = { name: 'reviewer', capabilities: ['read'], max_claims: 2 }
    await admin.call('admin.agent.set_claim_terms', terms)
    await using pod = new InPodClient({ socketPath: source.identitySocket })
    await pod.claim('reviewer')
    made = (await admin.call('admin.backup', { directory: folder })).directory
    admin.destroy()
  }
  using home = temporaryHome()
  mkdirSync(home.data, { recursive: true, mode: 0o700 })
  {
    await using store = await openStore(`sqlite:${home.store}`)
    await restore(made, home, store)
  }
  cpSync(source.keys, home.keys, { recursive: true })
  await using _daemon = await boot(home, { passphrase: PASSPHRASE })
  const admin = await operator(home)
  expect(await admin.call('admin.agent.claim_terms', { name: 'reviewer' })).toMatchObject({
    capabilities: ['read'],
    max_claims: 2,
  })
  expect(await admin.call('admin.claim.list')).toEqual({ claims: [] })
  await using pod = new InPodClient({ socketPath: home.identitySocket })
  expect(await pod.whoami()).toMatchObject({ claim_kind: 'anonymous' })
  admin.destroy()
})
