/** The four ways to get a token of Vault. Each asks for a new one; session.ts keeps it alive. */
import { VestryError } from '@vestry/contract/errors'
import { Secret } from '../../seal/secret.ts'
import { findAwsKey } from './aws-key.ts'
import { isRecord, type VaultClient, type VaultReply } from './client.ts'
import type { VaultAuth, VaultSettings } from './settings.ts'
import { signV4 } from './sigv4.ts'
import { readSmallFile } from './small-file.ts'

export interface LoginDeps {
  readonly client: VaultClient
  readonly settings: VaultSettings
  readonly env: Readonly<Record<string, string | undefined>>
  readonly now: () => number
}

export interface GrantedToken {
  /** The receiver disposes it. */
  readonly token: Secret
  /** How long it lives from now; 0: it does not end. */
  readonly leaseMs: number
  readonly renewable: boolean
  /** It was made for us, and is revoked when it is no longer used. */
  readonly ours: boolean
}

/** A JSON Web Token begins with an object. */
const JWT = /^ey[\w-]*\.[\w-]+\.[\w-]+$/
const STS_BODY = 'Action=GetCallerIdentity&Version=2011-06-15'

/** @throws VestryError BACKEND_AUTH_FAILED when the login is refused, and what the client throws. */
export async function logIn(deps: LoginDeps, signal: AbortSignal): Promise<GrantedToken> {
  const { auth } = deps.settings
  switch (auth.method) {
    case 'token':
      return lookUp(deps, auth.token, signal)
    case 'approle':
      return exchange(deps, { role_id: auth.roleId, secret_id: auth.secretId }, signal)
    case 'kubernetes':
      return exchange(deps, { role: auth.role, jwt: serviceToken(auth.tokenPath) }, signal)
    case 'aws_iam':
      return exchange(deps, await callerIdentity(deps, auth, signal), signal)
    default:
      return auth satisfies never
  }
}

/** What renewing granted; undefined when the server would not. */
export async function renew(
  { client }: Pick<LoginDeps, 'client'>,
  token: Secret,
  signal: AbortSignal,
): Promise<Pick<GrantedToken, 'leaseMs' | 'renewable'> | undefined> {
  const path = 'auth/token/renew-self'
  const reply = await client.request({ method: 'POST', path, body: {}, token, signal })
  const { auth } = reply.json
  if (reply.status !== 200 || !isRecord(auth)) return undefined
  return { leaseMs: seconds(auth['lease_duration']), renewable: auth['renewable'] === true }
}

/** What the server knows of a token. */
export function lookUpSelf(
  client: VaultClient,
  token: Secret,
  signal: AbortSignal,
): Promise<VaultReply> {
  return client.request({ method: 'GET', path: 'auth/token/lookup-self', token, signal })
}

async function lookUp(
  { client }: LoginDeps,
  text: string,
  signal: AbortSignal,
): Promise<GrantedToken> {
  const token = Secret.copy(Buffer.from(text))
  try {
    const { status, json } = await lookUpSelf(client, token, signal)
    const { data } = json
    if (status !== 200 || !isRecord(data)) throw refused('token', status)
    return {
      token,
      leaseMs: seconds(data['ttl']),
      renewable: data['renewable'] === true,
      ours: false,
    }
  } catch (error) {
    token[Symbol.dispose]()
    throw error
  }
}

async function exchange(
  { client, settings }: LoginDeps,
  body: Record<string, unknown>,
  signal: AbortSignal,
): Promise<GrantedToken> {
  const path = `auth/${mountPath(settings.authMount)}/login`
  const reply = await client.request({ method: 'POST', path, body, signal })
  const granted = tokenOf(reply)
  if (granted === undefined) throw refused(settings.auth.method, reply.status)
  return granted
}

/** Mounts may have several segments. */
export function mountPath(mount: string): string {
  return mount.split('/').map(encodeURIComponent).join('/')
}

function tokenOf({ status, json: { auth } }: VaultReply): GrantedToken | undefined {
  if (status !== 200 || !isRecord(auth) || typeof auth['client_token'] !== 'string')
    return undefined
  return {
    token: Secret.copy(Buffer.from(auth['client_token'])),
    leaseMs: seconds(auth['lease_duration']),
    renewable: auth['renewable'] === true,
    ours: true,
  }
}

/** The file is named over the wire, and so is the server: nothing but such a token may go from one to the other. */
function serviceToken(path: string): string {
  const hint = 'Logging in by kubernetes works inside a pod; kubernetes_token_path names the file.'
  let text: string
  try {
    text = readSmallFile(path).toString('latin1').trim()
  } catch (cause) {
    const message = 'The service account’s token cannot be read'
    throw new VestryError('BACKEND_AUTH_FAILED', message, { hint, cause })
  }
  if (JWT.test(text)) return text
  throw new VestryError('BACKEND_AUTH_FAILED', 'The service account’s file holds no token', {
    hint,
  })
}

/** A signed request that Vault sends to AWS in our place, to hear who we are. */
async function callerIdentity(
  { client, env, now }: LoginDeps,
  { role, region, serverId }: Extract<VaultAuth, { method: 'aws_iam' }>,
  signal: AbortSignal,
): Promise<Record<string, unknown>> {
  const fetchText = client.fetchText.bind(client)
  const key = await findAwsKey({ env, fetchText }, signal)
  const host = region === undefined ? 'sts.amazonaws.com' : `sts.${region}.amazonaws.com`
  const url = new URL(`https://${host}/`)
  const headers = signV4(
    {
      method: 'POST',
      url,
      headers: {
        'Content-Type': 'application/x-www-form-urlencoded; charset=utf-8',
        'Content-Length': String(STS_BODY.length),
        ...(serverId !== undefined && { 'X-Vault-AWS-IAM-Server-ID': serverId }),
      },
      body: STS_BODY,
    },
    { key, region: region ?? 'us-east-1', service: 'sts', nowMs: now() },
  )
  const lists = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, [value]]))
  return {
    role,
    iam_http_request_method: 'POST',
    iam_request_url: base64(url.href),
    iam_request_body: base64(STS_BODY),
    iam_request_headers: base64(JSON.stringify(lists)),
  }
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64')
}

function seconds(value: unknown): number {
  return typeof value === 'number' && value > 0 ? value * 1_000 : 0
}

function refused(method: string, status: number): VestryError {
  return new VestryError(
    'BACKEND_AUTH_FAILED',
    `The secret back end refused the login (${status})`,
    {
      hint: `Check the credentials of auth_method "${method}", and whether that method is enabled there.`,
    },
  )
}
