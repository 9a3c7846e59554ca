/** Which TCP addresses the daemon may listen on, and the one HTTP port. */
import { VestryError } from '@vestry/contract/errors'
import type { createHttp } from '../http/server.ts'
import type { Config } from './config.ts'
import { parseTcp, type TcpAddress } from './tcp-address.ts'

export function vaultTcp({ vault }: Config, warn: (line: string) => void): TcpAddress | undefined {
  if (vault.listen_tcp === undefined) return undefined
  const address = parseTcp(vault.listen_tcp)
  if (!isLoopback(address.host) && !vault.allow_plaintext_remote) {
    throw new VestryError(
      'CONFIG_INVALID',
      `vault.listen_tcp ${vault.listen_tcp} is not a loopback address`,
      {
        hint: 'The wire is not encrypted: use a Unix socket, a tunnel, or set vault.allow_plaintext_remote',
      },
    )
  }
  if (address.port === 8200) warn('port 8200 is the customary port of HashiCorp Vault and OpenBao')
  return address
}

export function assertHttpHost({ http }: Config, dev: boolean, warn: (line: string) => void): void {
  if (isLoopback(http.host)) return
  if (dev) {
    throw new VestryError('CONFIG_INVALID', `--dev does not listen on ${http.host}`, {
      hint: 'Use a loopback address, or start without --dev',
    })
  }
  warn(`http listens on ${http.host} without TLS: put a TLS proxy in front of it`)
}

/** Any address of the machine is reached through its loopback, which is what clients are told. */
const REACHED_AT: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' }

export async function listenHttp(
  http: ReturnType<typeof createHttp>,
  config: Config,
  port: number | undefined,
): Promise<{ url: string; address: string; port: number }> {
  const wanted = port ?? config.http.port
  // Of the two addresses this name may have, the one everybody expects.
  const host = config.http.host === 'localhost' ? '127.0.0.1' : config.http.host
  try {
    await http.listen({ host, port: wanted })
  } catch (cause) {
    throw new VestryError(
      'CONFIG_INVALID',
      `cannot listen on ${host}:${wanted}: ${(cause as Error).message}`,
      { hint: 'Choose another port with --port, or 0 for any free one', cause },
    )
  }
  const bound = http.server.address()
  if (bound === null || typeof bound === 'string') throw new VestryError('INTERNAL_ERROR')
  const reached = REACHED_AT[bound.address] ?? bound.address
  const name = reached.includes(':') ? `[${reached}]` : reached
  return { url: `http://${name}:${bound.port}`, address: bound.address, port: bound.port }
}

export async function closeHttp(
  http: ReturnType<typeof createHttp>,
  budgetMs: number,
): Promise<void> {
  const late = setTimeout(() => http.server.closeAllConnections(), budgetMs / 2)
  await http.close()
  clearTimeout(late)
}

export function isLoopback(host: string): boolean {
  return (
    host === 'localhost' || host === '::1' || host === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(host)
  )
}
