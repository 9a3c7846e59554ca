/**
 * One outbound HTTP request of a program or a workflow, through all stations: policy is asked about the tool `http`
 * and where it goes, at every hop; private addresses are refused as they are for every other request.
 */
import { VestryError } from '@vestry/contract/errors'
import { perform, principalOf, type Stations } from '../../call/perform.ts'
import { METHODS } from '../../egress/departure.ts'
import { buildInjection, type InjectionSpec } from '../../egress/injection.ts'
import { recordsLookups } from '../../egress/lookup-record.ts'
import { type EgressDeps, type Grant, send } from '../../egress/send.ts'
import { parseTarget, type Target } from '../../egress/url.ts'
import type { Caller } from '../../identity/caller.ts'
import { TOOL_CALL } from '../../policy/actions.ts'
import type { Decision, PolicyContext } from '../../policy/engine.ts'
import { hostMatches, isExactHost, parseHostPattern } from '../../policy/host.ts'
import type { PolicyRequest } from '../../policy/policy-request.ts'
import type { Secret } from '../../seal/secret.ts'
import type { SecretResolver } from '../../secrets/resolver.ts'

/** The name under which policies speak of it: `http:get`, `http:post` … No other tool may have it. */
export const HTTP_TOOL = 'http'

export interface HttpEffectDeps {
  readonly stations: Stations
  readonly egress: EgressDeps
  /** `secret://` references of the owner. */
  readonly secrets: SecretResolver
  /** Credentials of the vault, for `vault://` references. */
  readonly credentials: VaultCredentials
}

export interface VaultCredentials {
  find(path: string): FoundCredential | undefined | Promise<FoundCredential | undefined>
  open(path: string): Promise<{ readonly secret: Secret }>
}

interface FoundCredential {
  readonly version: number
  readonly type: string | null
  readonly tags: readonly string[]
  readonly settings: { readonly allowed_hosts?: readonly string[] | undefined }
}

export interface HttpRequest {
  readonly caller: Caller
  readonly requestId: string
  /** Upper case. */
  readonly method: string
  readonly url: string
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body?: Uint8Array
  /** At most one header carries a secret; it is opened here, and taken out of the reply wherever it comes back. */
  readonly secretHeader?: SecretHeader | undefined
  readonly timeoutMs: number
  readonly maxResponseBytes: number
  readonly followRedirects: boolean
  readonly signal: AbortSignal
  /** Recorded with it: `workflow`, `step` … */
  readonly data?: Readonly<Record<string, unknown>>
  /** More conditions that hold, for policies of programs. */
  readonly args?: PolicyContext['args']
}

export interface SecretHeader {
  readonly name: string
  /** Goes before it: `Bearer `. */
  readonly prefix: string
  /** `secret://<name>` or `vault://<path>` */
  readonly reference: string
  /** Whose secrets: the name of an agent. Absent: only of the vault. */
  readonly owner: string | undefined
}

export interface HttpReply {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
  readonly truncated: boolean
  readonly url: string
}

const MAX_REDIRECTS = 5
const VAULT = 'vault://'
const USE = 'vault:use:http_request'

/**
 * @throws VestryError INVALID_PARAMS, ACCESS_DENIED, APPROVAL_REQUIRED, SSRF_BLOCKED, REDIRECT_BLOCKED,
 *   UPSTREAM_ERROR, UPSTREAM_TIMEOUT, RESPONSE_TOO_LARGE, SECRET_NOT_FOUND …; the signal's reason. `wasSent` of
 *   egress/failure.ts says of each whether the other side may have heard of it.
 */
export async function httpRequest(deps: HttpEffectDeps, asked: HttpRequest): Promise<HttpReply> {
  const { stations } = deps
  const { caller, method, headers, secretHeader } = asked
  if (!METHODS.some((known) => known === method))
    throw new VestryError('INVALID_PARAMS', 'This method is not allowed', {
      hint: `Use one of ${METHODS.join(', ')}`,
    })
  const target = parseTarget(asked.url)
  const context: PolicyContext = {
    nowMs: stations.now(),
    transport: caller.peer.transport,
    target,
    method,
    requestBytes: asked.body?.length ?? 0,
    ...(asked.args !== undefined && { args: asked.args }),
  }
  const credential = await credentialOf(deps, secretHeader)
  return perform<HttpReply>(stations, {
    caller,
    requestId: asked.requestId,
    action: TOOL_CALL,
    event: 'http.request',
    source: 'runtime',
    resource: resourceOf(method),
    context,
    detail: `http ${method} ${target.host}`,
    data: {
      ...asked.data,
      method,
      host: target.host,
      path: target.path,
      query: target.queryNames,
      ...(secretHeader !== undefined && { secret: secretHeader.reference }),
    },
    readOnly: false,
    approvalParams: {
      method,
      url: asked.url,
      headers,
      body: asked.body === undefined ? null : Buffer.from(asked.body).toString('base64'),
      secret: secretHeader?.reference ?? null,
    },
    settle: (decision) => ({
      effect: async (note) => {
        const reply = await sent(deps, asked, { context, credential, decision })
        note({
          status: reply.status,
          bytes_in: reply.bytesIn,
          bytes_out: reply.bytesOut,
          redirects: reply.redirects,
          ...(reply.redactions.count > 0 && { redactions: reply.redactions.count }),
        })
        return reply
      },
    }),
  })
}

interface Credential {
  readonly path: string
  readonly version: number
  readonly hosts: readonly string[]
  readonly resource: PolicyRequest['resource']
}

interface Settled {
  readonly context: PolicyContext
  readonly credential: Credential | undefined
  readonly decision: Decision
}

async function sent(deps: HttpEffectDeps, asked: HttpRequest, settled: Settled) {
  const { caller, secretHeader: header } = asked
  const { credential } = settled
  // Whether it may be used there is asked before it is opened.
  if (credential !== undefined) assertUse(deps, asked, settled, parseTarget(asked.url), false)
  using secret = header && (await opened(deps, header, credential))
  using injection = secret && header && buildInjection(specOf(header), secret)
  return send(
    {
      url: asked.url,
      method: asked.method,
      headers: asked.headers,
      ...(asked.body !== undefined && { body: asked.body }),
      ...(injection !== undefined && { injection }),
      timeoutMs: asked.timeoutMs,
      maxResponseBytes: asked.maxResponseBytes,
      maxReceivedBytes: asked.maxResponseBytes + 65_536,
      onOverflow: 'refuse',
      followRedirects: asked.followRedirects,
      maxRedirects: MAX_REDIRECTS,
      responseHeadersAllow: ['retry-after', 'etag', 'cache-control'],
      poolKey: {
        path:
          header === undefined
            ? 'tool:http'
            : `tool:http ${header.owner ?? ''} ${header.reference}`,
        version: credential?.version ?? 0,
      },
      authorize: (target, hop) => granted(deps, asked, settled, target, hop),
      onLookup: recordsLookups(deps.stations.audit, { caller, requestId: asked.requestId }),
      signal: asked.signal,
    },
    deps.egress,
  )
}

function specOf({ name, prefix }: SecretHeader): InjectionSpec {
  return {
    headerType: 'custom',
    headerName: name,
    ...(prefix !== '' && { headerPrefix: prefix }),
  }
}

async function opened(
  { secrets, credentials }: HttpEffectDeps,
  { reference, owner }: SecretHeader,
  credential: Credential | undefined,
): Promise<Secret> {
  if (credential !== undefined) return (await credentials.open(credential.path)).secret
  if (owner === undefined)
    throw new VestryError('SECRET_NOT_FOUND', 'Only agents have secrets of their own', {
      hint: 'Run it as an agent, or use a credential of the vault: vault://<path>',
    })
  return secrets.resolve(reference, owner)
}

async function credentialOf(
  { credentials }: HttpEffectDeps,
  header: SecretHeader | undefined,
): Promise<Credential | undefined> {
  if (header === undefined || !header.reference.startsWith(VAULT)) return undefined
  const path = header.reference.slice(VAULT.length)
  const found = await credentials.find(path)
  return {
    path,
    version: found?.version ?? 0,
    hosts: found?.settings.allowed_hosts ?? [],
    resource: { kind: 'credential', path, type: found?.type ?? null, tags: found?.tags ?? [] },
  }
}

/** The first hop was decided before anything happened; every later one is a question of its own. */
function granted(
  deps: HttpEffectDeps,
  asked: HttpRequest,
  settled: Settled,
  target: Target,
  hop: number,
): Grant {
  const { context, credential } = settled
  const { caller, method } = asked
  let { decision } = settled
  if (hop > 0) {
    decision = deps.stations.policy.decide({
      principal: principalOf(caller),
      action: TOOL_CALL,
      resource: resourceOf(method),
      context: { ...context, target, redirect: true },
    })
    if (!decision.allow) throw refused(target, decision)
    if (credential !== undefined) assertUse(deps, asked, settled, target, true)
  }
  const patterns = decision.hostPatterns
  return {
    exactHost:
      patterns.length > 0 && patterns.some((text) => isExactHost(parseHostPattern(text), target)),
    allowHttp: true,
    followRedirects: true,
  }
}

/** A credential of the vault is used under the policies for credentials, and goes only where it belongs. */
function assertUse(
  { stations }: HttpEffectDeps,
  { caller }: HttpRequest,
  { context, credential }: Settled,
  target: Target,
  redirect: boolean,
): void {
  if (credential === undefined) return
  const { hosts, resource } = credential
  const bound = hosts.some((text) => hostMatches(parseHostPattern(text), target))
  const decision = stations.policy.decide({
    principal: principalOf(caller),
    action: USE,
    resource,
    context: {
      ...context,
      target,
      ...(redirect && { redirect }),
      credentialHosts: hosts.length === 0 ? 'absent' : bound ? 'match' : 'mismatch',
    },
  })
  if (!decision.allow || decision.obligations.approve.length > 0) throw refused(target, decision)
  if (hosts.length > 0 && !bound)
    throw new VestryError('ACCESS_DENIED', `The credential may not go to "${target.host}"`)
}

function refused({ host }: Target, { reasonCode }: Decision): VestryError {
  return new VestryError('ACCESS_DENIED', `Policy does not allow a request to "${host}"`, {
    context: { reason_code: reasonCode },
  })
}

function resourceOf(method: string): PolicyRequest['resource'] {
  const action = method.toLowerCase()
  return {
    kind: 'tool',
    tool: HTTP_TOOL,
    action,
    digest: '',
    // It is a part of the program, not somebody's description.
    reviewed: true,
    permissions: [`${HTTP_TOOL}:${action}`],
    costMicros: 0,
  }
}
