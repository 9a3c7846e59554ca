/**
 * Where the examples find their vault. Each variable has the default a fresh installation uses, so
 * with an agent named `my-agent` none needs to be set.
 *
 * SANCTUM_AGENT       my-agent
 * SANCTUM_SOCKET      ~/.sanctum/vault.sock
 * SANCTUM_KEY         ~/.sanctum/keys/<agent>.key
 * SANCTUM_HOST        127.0.0.1   (TCP, only in connections.ts)
 * SANCTUM_PORT        7600
 * SANCTUM_CREDENTIAL  openai/api_key
 */
import { homedir } from 'node:os'
import { join } from 'node:path'

export interface ExampleTarget {
  agent: string
  socketPath: string
  keyPath: string
  host: string
  port: number
  /** Path of a credential that the agent may retrieve and use. */
  credential: string
}

export function targetOf(environment: Record<string, string | undefined>): ExampleTarget {
  const home = join(homedir(), '.sanctum')
  const agent = environment['SANCTUM_AGENT'] ?? 'my-agent'
  return {
    agent,
    socketPath: environment['SANCTUM_SOCKET'] ?? join(home, 'vault.sock'),
    keyPath: environment['SANCTUM_KEY'] ?? join(home, 'keys', `${agent}.key`),
    host: environment['SANCTUM_HOST'] ?? '127.0.0.1',
    port: Number(environment['SANCTUM_PORT'] ?? 7600),
    credential: environment['SANCTUM_CREDENTIAL'] ?? 'openai/api_key',
  }
}
