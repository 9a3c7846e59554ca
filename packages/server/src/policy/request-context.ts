/**
 * The Cedar context of one request. Caller data arrives only as plain texts and integers here, or as
 * tags of the `Args` and `Nums` entities: nothing a caller writes can become an entity.
 */
import { Datetime } from './cedar/datetime.ts'
import { parseIp } from './cedar/ip.ts'
import { CedarError, type CedarRecord, CedarSet, EntityUid, type Value } from './cedar/value.ts'
import type { PolicyContext } from './policy-request.ts'

export const CLOCK = new EntityUid('Clock', 'now')
export const HOST = new EntityUid('Host', 'target')
export const ARGS = new EntityUid('Args', 'request')
export const NUMS = new EntityUid('Nums', 'request')

const NO_NAMES = new CedarSet()

export function contextRecord(context: PolicyContext): CedarRecord {
  const record = new Map<string, Value>([
    ['now', new Datetime(Math.trunc(context.nowMs))],
    ['clock', CLOCK],
    ['has_reason', context.hasReason === true],
    ['holds', context.holds === undefined ? NO_NAMES : names(context.holds)],
    ['taint', context.taint === undefined ? NO_NAMES : names(context.taint)],
    ['args', ARGS],
    ['nums', NUMS],
  ])
  if (context.scope !== undefined) record.set('scope', names(context.scope))
  if (context.transport !== undefined) record.set('transport', context.transport)
  if (context.sourceIp !== undefined) {
    const address = ipOf(context.sourceIp)
    if (address !== undefined) record.set('source_ip', address)
  }
  if (context.target !== undefined) record.set('host', HOST)
  if (context.credentialHosts !== undefined) record.set('credential_hosts', context.credentialHosts)
  if (context.method !== undefined) record.set('method', wellFormed(context.method.toUpperCase()))
  if (context.headerType !== undefined) record.set('header_type', wellFormed(context.headerType))
  if (context.headerName !== undefined) {
    record.set('header_name', wellFormed(context.headerName.toLowerCase()))
  }
  if (context.contentType !== undefined) record.set('content_type', mediaType(context.contentType))
  if (isLong(context.requestBytes)) record.set('request_bytes', context.requestBytes)
  if (context.redirect !== undefined) record.set('redirect', context.redirect)
  if (context.algorithm !== undefined) record.set('algorithm', wellFormed(context.algorithm))
  if (isLong(context.dataBytes)) record.set('data_bytes', context.dataBytes)
  if (context.intent !== undefined) record.set('intent', wellFormed(context.intent))
  if (context.tokenTools !== undefined) record.set('token_tools', names(context.tokenTools))
  if (context.tokenPermissions !== undefined) {
    record.set('token_permissions', names(context.tokenPermissions))
  }
  if (context.recipients !== undefined) record.set('recipients', names(context.recipients))
  if (context.run !== undefined) record.set('run', wellFormed(context.run))
  if (context.runModels !== undefined) record.set('run_models', names(context.runModels))
  if (context.runProviders !== undefined) record.set('run_providers', names(context.runProviders))
  if (context.category !== undefined) record.set('category', wellFormed(context.category))
  return record
}

/** A lone surrogate becomes U+FFFD, which no policy text can hold by accident. */
export function wellFormed(text: string): string {
  return text.isWellFormed() ? text : text.toWellFormed()
}

export function isLong(value: number | undefined): value is number {
  return Number.isSafeInteger(value)
}

/** `application/json; charset=utf-8` is compared as `application/json`. */
function mediaType(header: string): string {
  const end = header.indexOf(';')
  return wellFormed((end < 0 ? header : header.slice(0, end)).trim().toLowerCase())
}

function names(list: readonly string[]): CedarSet {
  return new CedarSet(list.map(wellFormed))
}

const MAX_ADDRESSES = 1_000
const addresses = new Map<string, Value>()

/** An IPv4 peer of a dual-stack socket shows as ::ffff:1.2.3.4; Cedar knows it as 1.2.3.4. */
function ipOf(text: string): Value | undefined {
  const known = addresses.get(text)
  if (known !== undefined) return known
  const mapped = text.toLowerCase().startsWith('::ffff:') && text.includes('.')
  const zone = text.indexOf('%')
  const plain = mapped ? text.slice('::ffff:'.length) : zone < 0 ? text : text.slice(0, zone)
  const address = parseIp(plain)
  if (address instanceof CedarError) return undefined
  if (addresses.size >= MAX_ADDRESSES) addresses.clear()
  addresses.set(text, address)
  return address
}
