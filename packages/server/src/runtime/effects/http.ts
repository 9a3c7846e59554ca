/**
 * One outbound HTTP request of a program or a workflow, through all stations: policy is asked about the tool `http`
 * and where it goes, at every hop; private addresses are refused as they are for every other request. A credential of
 * the vault is used through the vault's own stations as well.
 */
import { VestryError } from '@vestry/contract/errors'
import { perform, type Stations } from '../../call/perform.ts'
import { METHODS } from '../../egress/departure.ts'
import { markUnsent, wasSent } from '../../egress/failure.ts'
import { buildInjection } from '../../egress/injection.ts'
import { requestHeaders } from '../../egress/request-headers.ts'
import type { EgressDeps } from '../../egress/send.ts'
import { parseTarget, type Target } from '../../egress/url.ts'
import type { Caller } from '../../identity/caller.ts'
import { TOOL_CALL } from '../../policy/actions.ts'
import type { PolicyContext } from '../../policy/engine.ts'
import type { Secret } from '../../seal/secret.ts'
import { performOnSecrets } from '../../secrets/access.ts'
import type { SecretResolver } from '../../secrets/resolver.ts'
import type { CredentialStore } from '../../vault/credential-store.ts'
import { contentTypeOf } from '../../vault/operations/http-request.ts'
import type { Vault } from '../../vault/vault.ts'
import { VAULT, withCredential } from './http-credential.ts'
import { recordBlocked } from './http-record.ts'
import type { FilteredReply } from './http-reply.ts'
import { sendAsked, type Trip, toolResource } from './http-send.ts'

export interface HttpEffectDeps {
  readonly stations: Stations
  readonly egress: EgressDeps
  /** `secret://` references of the owner. */
  readonly secrets: SecretResolver
  /** Credentials of the vault, for `vault://` references. */
  readonly credentials: VaultCredentials
  /** Whose limits count: requests under way at once, and how long a use counts. */
  readonly vault: Pick<Vault, 'limits' | 'settings'>
}

export type VaultCredentials = Pick<CredentialStore, 'find' | 'open'>

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

const OWN = 'secret://'

/**
 * @throws VestryError INVALID_PARAMS, ACCESS_DENIED, APPROVAL_REQUIRED, RATE_LIMITED, LEASE_EXHAUSTED, SSRF_BLOCKED,
 *   REDIRECT_BLOCKED, UPSTREAM_ERROR, UPSTREAM_TIMEOUT, RESPONSE_TOO_LARGE, SECRET_NOT_FOUND, CREDENTIAL_NOT_FOUND …;
 *   the signal's reason. `wasSent` of egress/failure.ts says of each whether the other side may have heard of it.
 */
export async function httpRequest(deps: HttpEffectDeps, asked: HttpRequest): Promise<HttpReply> {
  const { stations, vault } = deps
  const { caller, method, headers, secretHeader } = asked
  if (!METHODS.some((known) => known === method))
    throw new VestryError('INVALID_PARAMS', 'This method is not allowed', {
      hint: `Use one of ${METHODS.join(', ')}`,
    })
  requestHeaders(headers, { slot: undefined, allowAgentAuth: true, userAgent: '' }) // refuses bad ones now
  const contentType = contentTypeOf(headers)
  const target = await targetOf(deps, asked)
  const context: PolicyContext = {
    nowMs: stations.now(),
    transport: caller.peer.transport,
    ...(caller.peer.address !== undefined && { sourceIp: caller.peer.address }),
    target,
    method,
    requestBytes: asked.body?.length ?? 0,
    ...(contentType !== undefined && { contentType }),
    ...(asked.args !== undefined && { args: asked.args }),
  }
  return perform<FilteredReply>(stations, {
    caller,
    requestId: asked.requestId,
    action: TOOL_CALL,
    event: 'http.request',
    source: 'runtime',
    resource: toolResource(method),
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
    approvalParams: {
      method,
      url: asked.url,
      headers,
      body: asked.body === undefined ? null : Buffer.from(asked.body).toString('base64'),
      secret: secretHeader?.reference ?? null,
    },
    settle: (decision) => ({
      held: vault.limits.takeHttpSlot(caller),
      unused: (error) => !wasSent(error),
      effect: async (note) => {
        const trip: Trip = { target, context, decisions: [decision], began: false }
        try {
          const reply = await sent(deps, asked, trip)
          note({
            status: reply.status,
            host: reply.target.host,
            bytes_in: reply.bytesIn,
            bytes_out: reply.bytesOut,
            redirects: reply.redirects,
            ...(reply.redactions.count > 0 && { redactions: reply.redactions.count }),
            ...(reply.filtered > 0 && { filtered: reply.filtered }),
          })
          return reply
        } catch (error) {
          // The reason of a signal may end other requests too, which were sent.
          throw trip.began || asked.signal.aborted ? error : markUnsent(error)
        }
      },
    }),
  })
}

/** An address that is never allowed is refused for what it is, before policy is asked; the log hears of it. */
async function targetOf(deps: HttpEffectDeps, asked: HttpRequest): Promise<Target> {
  try {
    return parseTarget(asked.url)
  } catch (error) {
    await recordBlocked(deps, asked, error)
    throw error
  }
}

async function sent(deps: HttpEffectDeps, asked: HttpRequest, trip: Trip): Promise<FilteredReply> {
  const { secretHeader: header } = asked
  if (header === undefined) return sendAsked(deps, asked, trip, { poolPath: 'tool:http' })
  if (header.reference.startsWith(VAULT)) return withCredential(deps, asked, trip, header)
  using secret = await ownSecret(deps, asked, header)
  using injection = buildInjection(
    {
      headerType: 'custom',
      headerName: header.name,
      ...(header.prefix !== '' && { headerPrefix: header.prefix }),
    },
    secret,
  )
  const poolPath = `tool:http ${header.owner ?? ''} ${header.reference}`
  // Awaited here: until then the secret is lent out.
  return await sendAsked(deps, asked, trip, { poolPath, injection })
}

/** Asked for like one that the agent reads: policies that forbid that forbid this. */
function ownSecret(
  { stations, secrets }: HttpEffectDeps,
  { caller, requestId }: HttpRequest,
  { reference, owner }: SecretHeader,
): Promise<Secret> {
  if (owner === undefined)
    throw new VestryError('SECRET_NOT_FOUND', 'Only agents have secrets of their own', {
      hint: 'Run it as an agent, or use a credential of the vault: vault://<path>',
    })
  return performOnSecrets<Secret>(stations, {
    caller,
    requestId,
    operation: 'read',
    agent: owner,
    name: reference.startsWith(OWN) ? reference.slice(OWN.length) : reference,
    effect: () => secrets.resolve(reference, owner),
  })
}
