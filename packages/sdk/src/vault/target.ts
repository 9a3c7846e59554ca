/** Where the vault listens: one parsed shape for every way to say it. Half an address is an error. */
import { homedir } from 'node:os'
import { join } from 'node:path'
import { vaultError } from './wire-error.ts'

/** A socket path, `[host, port]`, or `{ host, port }`. */
export type Target = string | readonly [host: string, port: number] | { host: string; port: number }

export type Endpoint = { kind: 'unix'; path: string } | { kind: 'tcp'; host: string; port: number }

/** The directory that the vault's clients share: socket, keys, known servers. */
export const vaultHome = (): string => join(homedir(), '.sanctum')

export const defaultSocketPath = (): string => join(vaultHome(), 'vault.sock')

/** @throws VaultError `INVALID_PARAMS` */
export function endpointOf(target: Target): Endpoint {
  if (typeof target === 'string') {
    if (target === '') throw invalid('The socket path is empty')
    if (hasControlCharacter(target)) throw invalid('The socket path has a control character')
    return { kind: 'unix', path: target }
  }
  if (isPair(target)) return tcp(target[0], target[1])
  if (typeof target === 'object' && target !== null) return tcp(target.host, target.port)
  throw invalid('A target is a socket path, [host, port] or { host, port }')
}

/**
 * The endpoint that constructor options name; the default socket when they name none.
 *
 * @throws VaultError `INVALID_PARAMS` for a host without a port, a port without a host, or both kinds.
 */
export function endpointOfOptions(options: {
  socketPath?: string | undefined
  host?: string | undefined
  port?: number | undefined
}): Endpoint {
  const { socketPath, host, port } = options
  if (host === undefined && port === undefined) return endpointOf(socketPath ?? defaultSocketPath())
  if (socketPath !== undefined) throw invalid('Give socketPath or host and port, not both')
  if (host === undefined) throw invalid('port was given without host')
  if (port === undefined) throw invalid('host was given without port')
  return tcp(host, port)
}

/** `unix:/path` or `tcp:host:port`: the name under which a server is remembered. */
export function endpointName(endpoint: Endpoint): string {
  if (endpoint.kind === 'unix') return `unix:${endpoint.path}`
  return `tcp:${endpoint.host}:${endpoint.port}`
}

function tcp(host: unknown, port: unknown): Endpoint {
  if (typeof host !== 'string' || host === '' || hasControlCharacter(host))
    throw invalid('host must be a name or an address')
  if (typeof port !== 'number' || !Number.isInteger(port) || port < 1 || port > 65_535) {
    throw invalid('port must be an integer from 1 to 65535')
  }
  return { kind: 'tcp', host, port }
}

// Endpoint names are lines of a file: a line break inside one would forge another.
function hasControlCharacter(text: string): boolean {
  return [...text].some((character) => character < ' ' || character === '\x7f')
}

function isPair(target: Target): target is readonly [string, number] {
  return Array.isArray(target)
}

function invalid(detail: string) {
  return vaultError('INVALID_PARAMS', detail, {
    suggestion: 'Use socketPath, or host together with port.',
  })
}
