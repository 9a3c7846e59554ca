/**
 * A request that carries a credential of the vault: a use of it, with all that the vault asks of one. Where it may go,
 * how often, who must say yes and what the record says are the credential's policies, not those of the tool alone.
 */
import { perform } from '../../call/perform.ts'
import { wasSent } from '../../egress/failure.ts'
import { buildInjection, checkInjection, type InjectionSpec } from '../../egress/injection.ts'
import type { Hop } from '../../egress/redirect.ts'
import { SEND } from '../../policy/decision.ts'
import { assertPath, type Credential, injectionSpec } from '../../vault/credential.ts'
import { assertExists, resourceOf } from '../../vault/methods/context.ts'
import { boundHosts, grantOf } from '../../vault/operations/http-request.ts'
import { assertUnlocked, injectionContext } from '../../vault/operations/injection-params.ts'
import type { HttpEffectDeps, HttpRequest, SecretHeader } from './http.ts'
import type { FilteredReply } from './http-reply.ts'
import { decideHop, hopContext, sendAsked, type Trip } from './http-send.ts'

export const VAULT = 'vault://'

/** @throws VestryError ACCESS_DENIED, APPROVAL_REQUIRED, LEASE_EXHAUSTED, CREDENTIAL_NOT_FOUND, and as sending does. */
export async function withCredential(
  deps: HttpEffectDeps,
  asked: HttpRequest,
  trip: Trip,
  header: SecretHeader,
): Promise<FilteredReply> {
  const { stations, credentials, vault } = deps
  const { caller } = asked
  const path = header.reference.slice(VAULT.length)
  assertPath(path)
  const found = await credentials.find(path)
  const wanted = wantedInjection(header, found)
  const { target } = trip
  const context = {
    ...trip.context,
    ...injectionContext(wanted),
    credentialHosts: boundHosts(found, target),
  }
  const use = { of: path, lifetime: vault.settings.leases.maxLifetime }
  return perform<FilteredReply>(stations, {
    caller,
    requestId: asked.requestId,
    action: SEND,
    event: 'credential.use',
    source: 'runtime',
    resource: resourceOf(path, found),
    context,
    unseen: () => ({
      resource: resourceOf(path, undefined),
      context: { ...context, credentialHosts: 'absent' },
    }),
    use,
    data: {
      ...asked.data,
      target: {
        method: asked.method,
        scheme: target.scheme,
        host: target.host,
        port: target.port,
        path: target.path,
        query: target.queryNames,
        ...(target.scheme === 'http' && { cleartext: true }),
      },
      bytes_out: asked.body?.length ?? 0,
    },
    approvalParams: {
      url: target.href,
      method: asked.method,
      headers: asked.headers.map(([name, value]) => [name.toLowerCase(), value]),
      body: asked.body === undefined ? null : Buffer.from(asked.body).toString('base64'),
      injection: wanted.spec,
      follow_redirects: asked.followRedirects,
    },
    exists: () => assertExists(path, found),
    settle: (decision) => {
      assertExists(path, found)
      assertUnlocked(wanted, found)
      return {
        unused: (error) => !wasSent(error) || !trip.began,
        effect: async (note) => {
          trip.decisions.push(decision)
          const { secret, version, credential } = await credentials.open(path)
          using value = secret
          using injection = buildInjection(wanted.spec, value)
          const reply = await sendAsked(deps, asked, trip, {
            // As the vault calls it, so that its connections end with those of the vault.
            poolPath: path,
            version,
            injection,
            grant: async (hop, isFirst) => {
              const said = isFirst
                ? decision
                : await decideHop(
                    deps,
                    asked,
                    trip,
                    {
                      action: SEND,
                      resource: resourceOf(path, credential),
                      context: credentialHop(context, hop, credential),
                    },
                    use,
                  )
              return grantOf(said, credential, hop.target)
            },
          })
          note({
            version,
            status: reply.status,
            bytes_in: reply.bytesIn,
            bytes_out: reply.bytesOut,
            redirects: reply.redirects,
            redactions: reply.redactions.count,
            host: reply.target.host,
          })
          return reply
        },
      }
    },
  })
}

function credentialHop(
  context: Parameters<typeof hopContext>[0],
  hop: Hop,
  credential: Credential,
) {
  return { ...hopContext(context, hop), credentialHosts: boundHosts(credential, hop.target) }
}

/** What the caller asked for, unless the operator fixed it. */
function wantedInjection({ name, prefix }: SecretHeader, found: Credential | undefined) {
  const bound = found?.settings.inject
  if (bound?.locked === true) {
    const spec = injectionSpec(bound)
    return { spec, conflict: checkInjection(spec).toLowerCase() !== name.toLowerCase() }
  }
  const spec = askedInjection(name, prefix)
  checkInjection(spec)
  return { spec, conflict: false }
}

/** Under the names that policies know. */
function askedInjection(name: string, prefix: string): InjectionSpec {
  const lower = name.toLowerCase()
  if (lower === 'authorization' && prefix === 'Bearer ') return { headerType: 'bearer' }
  if (lower === 'x-api-key' && prefix === '') return { headerType: 'api_key' }
  return {
    headerType: 'custom',
    headerName: name,
    ...(prefix !== '' && { headerPrefix: prefix }),
  }
}
