import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { commandOf } from '../../packages/server/src/mcp/testing/hub.test-kit.ts'
import { startTestDaemon } from '../harness/daemon.ts'
import { RuntimeNode } from './node.ts'
import { startOfficialClient } from './official-client.ts'

const MAIN = join(import.meta.dirname, '../../packages/server/src/cli/main.ts')

test('the published client starts "vestry mcp serve", sees its tools, calls one, and goes on after the vault was sealed', async () => {
  await using daemon = await startTestDaemon()
  const node = new RuntimeNode(daemon.daemon.ready)
  const body = { name: 'notes', command: commandOf(), timeout_seconds: 20 }
  await node.ask('POST', 'mcp/servers', { body })
  await node.ask('POST', 'mcp/servers/notes/connect')
  await daemon.addAgent('scout')
  const { key } = await daemon.admin.call('admin.key.add', { name: 'scout', agent: 'scout' })
  const text = `@id("scout") permit (principal == Agent::"scout", action == Action::"mcp:call", resource == Tool::"mcp/notes:echo");`
  await daemon.admin.call('admin.policy.put', { files: [{ name: 'scout.cedar', text }] })
  const keyFile = join(daemon.home.dir, 'scout.key')
  writeFileSync(keyFile, `${key}\n`, { mode: 0o600 })

  await using official = startOfficialClient()
  const args = ['--conditions=source', MAIN, '--home', daemon.home.dir, 'mcp', 'serve']
  args.push('--key-file', keyFile)
  const opened = { client: 'scout', command: process.execPath, args }
  expect(await official.do('connect', opened)).toMatchObject({ server: { name: 'vestry' } })
  const { tools } = await official.do('list', { client: 'scout' })
  expect(tools.map(({ name }: { name: string }) => name)).toEqual(['notes__echo'])
  const asked = { client: 'scout', name: 'notes__echo', args: { text: 'over stdio' } }
  expect(await official.do('call', asked)).toMatchObject({ content: [{ text: 'over stdio' }] })

  // A sealed daemon has forgotten its sessions; the client need not know.
  await daemon.seal()
  await expect(official.do('call', asked)).rejects.toThrow('sealed')
  await daemon.unseal()
  await expect
    .poll(() => official.do('call', asked), { timeout: 20_000, interval: 200 })
    .toMatchObject({ content: [{ text: 'over stdio' }] })
  await official.do('end', { client: 'scout' })
}, 60_000)
