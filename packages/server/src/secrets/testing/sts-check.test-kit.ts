/** What AWS would say to a signed GetCallerIdentity request, computed apart from the code under test. */
import { createHash, createHmac } from 'node:crypto'

export interface KnownKey {
  readonly secret: string
  readonly arn: string
  readonly sessionToken?: string
}

/** @returns The ARN of who signed. @throws Error with the reason why AWS would refuse. */
export function callerOf(
  request: { method: string; url: string; body: string; headers: Record<string, string[]> },
  keys: ReadonlyMap<string, KnownKey>,
  nowMs: number,
): string {
  const url = new URL(request.url)
  if (url.protocol !== 'https:' || !/^sts(?:\.[a-z0-9-]+)?\.amazonaws\.com$/.test(url.hostname))
    throw new Error('not the security token service')
  if (request.method !== 'POST' || request.body !== 'Action=GetCallerIdentity&Version=2011-06-15')
    throw new Error('not GetCallerIdentity')
  const headers = new Map(
    Object.entries(request.headers).map(([name, values]) => [name.toLowerCase(), values.join(',')]),
  )
  const parts =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([a-z0-9-]+)\/sts\/aws4_request, SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})$/.exec(
      headers.get('authorization') ?? '',
    )
  if (parts === null) throw new Error('malformed Authorization')
  const [, id = '', day = '', region = '', signed = '', signature] = parts
  const key = keys.get(id)
  if (key === undefined) throw new Error('InvalidClientTokenId')
  if (headers.get('x-amz-security-token') !== key.sessionToken)
    throw new Error('wrong session token')
  const stamp = headers.get('x-amz-date') ?? ''
  const atMs = Date.parse(
    stamp.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'),
  )
  if (!(Math.abs(nowMs - atMs) <= 15 * 60_000) || !stamp.startsWith(day))
    throw new Error('the signature has expired')
  const names = signed.split(';')
  for (const needed of ['host', 'x-amz-date'])
    if (!names.includes(needed)) throw new Error(`${needed} is not signed`)
  if (headers.get('host') !== url.host) throw new Error('another host')
  const canonical = [
    request.method,
    url.pathname,
    url.search.slice(1),
    ...names.map((name) => `${name}:${headers.get(name) ?? ''}`),
    '',
    signed,
    sha256(request.body),
  ].join('\n')
  const text = `AWS4-HMAC-SHA256\n${stamp}\n${day}/${region}/sts/aws4_request\n${sha256(canonical)}`
  const dayKey = hmac(`AWS4${key.secret}`, day)
  const signingKey = hmac(hmac(hmac(dayKey, region), 'sts'), 'aws4_request')
  if (hmac(signingKey, text).toString('hex') !== signature) throw new Error('SignatureDoesNotMatch')
  return key.arn
}

export function signedHeaders(headers: Record<string, string[]>): string[] {
  const authorization = Object.entries(headers).find(([name]) => /^authorization$/i.test(name))?.[1]
  return /SignedHeaders=([^,]+)/.exec(authorization?.[0] ?? '')?.[1]?.split(';') ?? []
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}
