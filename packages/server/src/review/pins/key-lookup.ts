/**
 * Asks a provider for its key: over https, without redirects, bounded, and never on addresses of the inner network.
 * Each question is in the record before it is asked.
 */
import { isIP } from 'node:net'
import { asVestryError, type ErrorCode } from '@vestry/contract/errors'
import { VERSION } from '@vestry/contract/version'
import type { AuditLog } from '../../audit/log.ts'
import { parseCidr } from '../../egress/addresses.ts'
import { type EgressDeps, send } from '../../egress/send.ts'
import type { TxtLookup } from '../../egress/txt-records.ts'
import { type Discovery, readDiscovery, readRevocations, readTxt } from './discovery.ts'
import { Unverified } from './unverified.ts'

export interface KeyLookupDeps {
  readonly egress: EgressDeps
  readonly txt: TxtLookup
  readonly audit: Pick<AuditLog, 'append'>
  /** Plain http and loopback are allowed; for tests. */
  readonly insecure: boolean
}

export interface LookupOptions {
  /** For everything that is asked; 10 s unless told. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal | undefined
  /** On whose behalf, for the record: `operator:ada`; the daemon's own unless told. */
  readonly actor?: string | undefined
  readonly requestId?: string | undefined
}

/** One question among those of a look-up. */
interface Asking {
  readonly signal: AbortSignal
  readonly timeoutMs: number
  readonly actor: string
  readonly requestId: string | undefined
}

/** Where a key is published, and the name that it is pinned under. */
export interface KeyPlace {
  readonly url: string
  /** Host name, with a port that is not the usual one. */
  readonly domain: string
}

export const LOOKUP_TIMEOUT_MS = 10_000
const MAX_BYTES = 65_536
const LOOPBACK = ['127.0.0.0/8', '::1/128'].map(parseCidr)
const LOOPBACK_NAME = /^(?:localhost|127(?:\.\d+){3}|\[::1\])(?::\d+)?$/
const DOMAIN =
  /^(?=.{1,253}(?::|$))[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9])?(?::\d{1,5})?$|^\[::1\](?::\d{1,5})?$/
/** Nobody was asked, because nobody may be asked there. */
const REFUSALS: ReadonlySet<ErrorCode> = new Set([
  'SSRF_BLOCKED',
  'ACCESS_DENIED',
  'INVALID_PARAMS',
])

export class KeyLookup {
  readonly #deps: KeyLookupDeps

  constructor(deps: KeyLookupDeps) {
    this.#deps = deps
  }

  /** @throws Unverified `DISCOVERY_FETCH_FAILED` for what is no domain. */
  placeOf(domain: string): KeyPlace {
    const name = domain.toLowerCase()
    if (!DOMAIN.test(name)) throw refused('this is no domain name')
    const scheme = this.#deps.insecure && LOOPBACK_NAME.test(name) ? 'http' : 'https'
    return { url: `${scheme}://${name}/.well-known/schemapin.json`, domain: name }
  }

  /** @throws Unverified `DISCOVERY_FETCH_FAILED` for what is no URL. */
  placeAt(url: string): KeyPlace {
    if (!URL.canParse(url)) throw refused('the address of the key is no URL')
    return { url, domain: new URL(url).host.toLowerCase() }
  }

  /**
   * The key of a place, whether it is revoked, and whether the domain vouches for it otherwise too.
   *
   * @throws Unverified `DISCOVERY_FETCH_FAILED`, also where a declared list of revocations cannot be had;
   *   `DISCOVERY_INVALID`, `DOMAIN_MISMATCH`.
   */
  async ask(
    place: KeyPlace,
    options: LookupOptions = {},
  ): Promise<{ discovery: Discovery; revoked: boolean; vouched: boolean }> {
    const { timeoutMs = LOOKUP_TIMEOUT_MS, actor = 'system', requestId } = options
    const timeout = AbortSignal.timeout(timeoutMs)
    const signal =
      options.signal === undefined ? timeout : AbortSignal.any([options.signal, timeout])
    const asking = { signal, timeoutMs, actor, requestId }
    const [body, records] = await Promise.all([
      this.#fetch(place.url, asking),
      this.#txt(place.domain),
    ])
    const discovery = readDiscovery(body)
    const { fingerprint } = discovery.key
    const named = readTxt(records)
    if (named !== undefined && !named.has(fingerprint))
      throw new Unverified('DOMAIN_MISMATCH', 'the TXT record of the domain names another key', {
        fingerprint,
      })
    return {
      discovery,
      revoked: await this.#isRevoked(discovery, place.domain, asking),
      vouched: named !== undefined,
    }
  }

  async #isRevoked(
    { key, revokedKeys, revocationEndpoint }: Discovery,
    domain: string,
    asking: Asking,
  ): Promise<boolean> {
    if (revokedKeys.has(key.fingerprint)) return true
    if (revocationEndpoint === undefined) return false
    const { fingerprint } = key
    const body = await this.#fetch(revocationEndpoint, asking).catch((error: unknown) => {
      if (!(error instanceof Unverified)) throw error
      // Whoever keeps the list from us must not keep its keys alive by that.
      const message = `the provider's list of revoked keys cannot be had: ${error.message}`
      throw new Unverified(error.code, message, { fingerprint, listMissing: true })
    })
    return readRevocations(body, domain).has(fingerprint)
  }

  async #txt(domain: string): Promise<readonly string[]> {
    // A port is a place of its own, of which the records of a name say nothing.
    const isName = domain.includes('.') && !domain.includes(':') && isIP(domain) === 0
    return isName ? this.#deps.txt(`_schemapin.${domain}`) : []
  }

  async #fetch(url: string, asking: Asking): Promise<Uint8Array> {
    const { audit } = this.#deps
    const startedMs = performance.now()
    const facts = { url: shown(url) }
    const entry = {
      action: 'key.lookup',
      detail: `key of ${facts.url}`,
      actor: asking.actor,
      source: 'review' as const,
      ...(asking.requestId !== undefined && { request_id: asking.requestId }),
      data: facts,
    }
    const intent = await audit.append({ ...entry, phase: 'intent', success: true }, 'synced')
    let code = 'OK'
    try {
      return await this.#get(url, asking)
    } catch (error) {
      code = error instanceof Unverified ? error.code : asVestryError(error).code
      throw error
    } finally {
      const duration_ms = Math.round(performance.now() - startedMs)
      const outcome = { code, duration_ms, intent }
      await audit
        .append({ ...entry, phase: 'outcome', success: code === 'OK', outcome }, 'written')
        .catch(() => undefined) // said by the log's own state
    }
  }

  async #get(url: string, { signal, timeoutMs }: Asking): Promise<Uint8Array> {
    const { egress, insecure } = this.#deps
    // What operators open for tools is not open for addresses that a stranger wrote into a tool.
    const holes = insecure ? [...egress.rules.holes, ...LOOPBACK] : []
    try {
      const { status, body } = await send(
        {
          url,
          method: 'GET',
          headers: [['accept', 'application/json, application/x-pem-file;q=0.9, */*;q=0.1']],
          followRedirects: false,
          userAgent: `vestry/${VERSION}`,
          poolKey: { path: 'review:keys', version: 0 },
          authorize: () => ({ exactHost: insecure, allowHttp: insecure, followRedirects: false }),
          timeoutMs,
          maxResponseBytes: MAX_BYTES,
          maxReceivedBytes: MAX_BYTES,
          onOverflow: 'refuse',
          signal,
        },
        { ...egress, rules: { ...egress.rules, holes } },
      )
      if (status === 200) return body
      const moved = status >= 300 && status < 400 ? ', and redirects are not followed' : ''
      throw failed(`the provider answered ${status}${moved}`)
    } catch (error) {
      if (error instanceof Unverified) throw error
      if (signal.aborted) throw failed('the provider did not answer in time')
      const { code, message } = asVestryError(error)
      throw REFUSALS.has(code) ? refused(message) : failed(message)
    }
  }
}

/** Without its query, which may hold anything. */
function shown(url: string): string {
  if (!URL.canParse(url)) return 'what is no URL'
  const { protocol, host, pathname } = new URL(url)
  return `${protocol}//${host}${pathname}`.slice(0, 256).toWellFormed()
}

function failed(message: string): Unverified {
  return new Unverified('DISCOVERY_FETCH_FAILED', message)
}

function refused(message: string): Unverified {
  return new Unverified('DISCOVERY_FETCH_FAILED', message, { refused: true })
}
