/**
 * AWS Signature Version 4 of one request: what proves to whoever forwards it that the holder of the key made it. Pure;
 * nothing is sent from here.
 */
import { createHmac, hash } from 'node:crypto'

export interface AwsKey {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string | undefined
}

export interface SignedRequest {
  readonly method: string
  /** Absolute, without a query. */
  readonly url: URL
  /** All of them are signed. `host` and `x-amz-date` are added. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

const ALGORITHM = 'AWS4-HMAC-SHA256'

/** @returns The headers to send: those given, `Host`, `X-Amz-Date`, the session's token and `Authorization`. */
export function signV4(
  request: SignedRequest,
  { key, region, service, nowMs }: { key: AwsKey; region: string; service: string; nowMs: number },
): Record<string, string> {
  const stamp = new Date(nowMs).toISOString().replace(/[-:]|\.\d+/g, '')
  const headers: Record<string, string> = {
    ...request.headers,
    Host: request.url.host,
    'X-Amz-Date': stamp,
    ...(key.sessionToken !== undefined && { 'X-Amz-Security-Token': key.sessionToken }),
  }
  const canonical = Object.entries(headers)
    .map(([name, value]) => [name.toLowerCase(), value.trim().replace(/ +/g, ' ')] as const)
    .sort(([one], [other]) => (one < other ? -1 : 1))
  const names = canonical.map(([name]) => name).join(';')
  const text = [
    request.method,
    request.url.pathname,
    '',
    ...canonical.map(([name, value]) => `${name}:${value}`),
    '',
    names,
    hash('sha256', request.body),
  ].join('\n')
  const day = stamp.slice(0, 8)
  const scope = `${day}/${region}/${service}/aws4_request`
  const signingKey = [day, region, service, 'aws4_request'].reduce<string | Buffer>(
    (secret, part) => hmac(secret, part),
    `AWS4${key.secretAccessKey}`,
  )
  const signature = hmac(signingKey, [ALGORITHM, stamp, scope, hash('sha256', text)].join('\n'))
  const credential = `Credential=${key.accessKeyId}/${scope}`
  return {
    ...headers,
    Authorization: `${ALGORITHM} ${credential}, SignedHeaders=${names}, Signature=${signature.toString('hex')}`,
  }
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}
