/** The daemon that the stand-in clients meet: one agent, a few credentials, one rule that allows most. */
import { symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import type { AgentKeys } from '../harness/keys.ts'
import { clientHome } from './client-process.ts'
import { startUpstream, type Upstream } from './upstream.ts'

export interface World extends AsyncDisposable {
  readonly vestry: TestDaemon
  readonly agent: AgentKeys
  readonly upstream: Upstream
  readonly tcp: { readonly host: string; readonly port: number }
  /** A client's home directory whose default socket and key lead to this daemon. */
  home(): string
}

export const SECRET = 'sk-test-café-0123456789'

export async function startWorld(
  { vault = {}, ...config }: { vault?: object; [section: string]: object | undefined } = {},
  rule: object = {},
): Promise<World> {
  const upstream = await startUpstream()
  const vestry = await startTestDaemon({
    config: {
      vault: { listen_tcp: '127.0.0.1:0', http_requests_per_agent: 64, ...vault },
      egress: { allow_cidrs: ['127.0.0.1/32'] },
      ...config,
    },
  })
  const agent = await vestry.addAgent('my-agent')
  await vestry.addCredential('openai/api_key', SECRET, { tags: ['llm', 'prod'], type: 'api_key' })
  await vestry.addCredential('openai/empty', '')
  await vestry.addCredential('openai/bytes', Buffer.from('ff00fe41', 'hex'))
  await vestry.addCredential('encryption/key', 'correct-horse')
  await vestry.addCredential('signing/key', 'whsec_demo_0001')
  await vestry.addCredential('web/token', 'tok-ascii-0123456789')
  await vestry.addCredential('other/secret', 'not yours')
  await vestry.addPolicy({
    version: 1,
    policies: [
      {
        name: 'most',
        principals: ['agent:*'],
        resources: ['openai/*', 'encryption/*', 'signing/*', 'web/*'],
        actions: ['list', 'retrieve', 'use', 'use:http_header'],
        hosts: [upstream.host],
        allow_http: true,
        max_ttl: 900,
        ...rule,
      },
    ],
  })
  return {
    vestry,
    agent,
    upstream,
    get tcp() {
      const [host = '', port] = String(vestry.daemon.ready.vault_tcp).split(':')
      return { host, port: Number(port) }
    },
    home() {
      const home = clientHome([agent])
      symlinkSync(vestry.home.vaultSocket, join(home, '.sanctum', 'vault.sock'))
      return home
    },
    async [Symbol.asyncDispose]() {
      await vestry.stop()
      await upstream[Symbol.asyncDispose]()
    },
  }
}
