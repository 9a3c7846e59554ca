/** What the head of a request says, read from the headers as received: what came twice is not merged, but refused. */
import type { IncomingMessage } from 'node:http'
import { VestryError } from '@vestry/contract/errors'
import type { Peer } from '../../identity/caller.ts'
import { tcpPeer, unixPeer } from '../../identity/peer.ts'

/** Two of them could be read differently by whoever stands in between. */
const SINGLE: ReadonlySet<string> = new Set([
  'authorization',
  'txn-token',
  'x-provider',
  'content-length',
  'content-type',
])

/** @throws VestryError BAD_REQUEST for a header that may come once and came twice, or two lengths of the body. */
export function assertSingleHeaders({ rawHeaders, headers }: IncomingMessage): void {
  const seen = new Set<string>()
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = (rawHeaders[at] ?? '').toLowerCase()
    if (!SINGLE.has(name)) continue
    if (seen.has(name)) throw new VestryError('BAD_REQUEST', `Header ${name} came twice`)
    seen.add(name)
  }
  if (seen.has('content-length') && headers['transfer-encoding'] !== undefined)
    throw new VestryError('BAD_REQUEST', 'Content-Length and Transfer-Encoding exclude each other')
}

/** Every value of one header, in the order received. */
export function headerValues({ rawHeaders }: IncomingMessage, name: string): string[] {
  const values: string[] = []
  for (let at = 0; at < rawHeaders.length; at += 2) {
    if (rawHeaders[at]?.toLowerCase() === name) values.push(rawHeaders[at + 1] ?? '')
  }
  return values
}

/** @returns undefined where there is none. */
export function headerText({ headers }: IncomingMessage, name: string): string | undefined {
  const value = headers[name]
  return typeof value === 'string' ? value.trim() : undefined
}

/** @throws VestryError UNSUPPORTED_MEDIA_TYPE */
export function assertJson(request: IncomingMessage): void {
  const type = headerText(request, 'content-type')?.split(';', 1)[0]?.trim().toLowerCase()
  if (type === 'application/json') return
  throw new VestryError('UNSUPPORTED_MEDIA_TYPE')
}

const VERSION = /^\d{4}-\d{2}-\d{2}$/
const BETAS = /^[a-z0-9.-]{1,64}(?:\s*,\s*[a-z0-9.-]{1,64}){0,15}$/

/**
 * The headers that go along to Anthropic on its own routes; every other one stays here.
 * @throws VestryError BAD_REQUEST
 */
export function nativeHeaders(request: IncomingMessage): [string, string][] {
  const kept: [string, string][] = []
  for (const [name, shape] of [
    ['anthropic-version', VERSION],
    ['anthropic-beta', BETAS],
  ] as const) {
    const value = headerText(request, name)
    if (value === undefined) continue
    if (!shape.test(value)) throw new VestryError('BAD_REQUEST', `Header ${name} is malformed`)
    kept.push([name, value])
  }
  return kept
}

const peers = new WeakMap<object, Peer>()

/** Asked of the kernel once per connection. */
export function peerOf({ socket }: IncomingMessage, listener: 'unix' | 'http'): Peer {
  let peer = peers.get(socket)
  if (peer === undefined) {
    peer = listener === 'unix' ? unixPeer(socket) : tcpPeer(socket, 'http')
    peers.set(socket, peer)
  }
  return peer
}
