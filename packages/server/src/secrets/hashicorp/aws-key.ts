/**
 * Where the key for an AWS login comes from, in the order AWS's own tools have: environment, credentials file, the
 * container's endpoint. The instance metadata service is left out: no connection of ours ever goes there.
 */
import { readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { VestryError } from '@vestry/contract/errors'
import type { AwsKey } from './sigv4.ts'

export interface AwsKeySources {
  readonly env: Readonly<Record<string, string | undefined>>
  /** A GET through the guarded door; the body of a 200. */
  readonly fetchText: (
    url: string,
    headers: readonly (readonly [string, string])[],
    signal: AbortSignal,
  ) => Promise<string>
}

const CONTAINER_HOST = 'http://169.254.170.2'

/** @throws VestryError BACKEND_AUTH_FAILED when there is none. */
export async function findAwsKey(sources: AwsKeySources, signal: AbortSignal): Promise<AwsKey> {
  const key = fromEnvironment(sources.env) ?? (await fromFile(sources.env))
  const found = key ?? (await fromContainer(sources, signal))
  if (found !== undefined) return found
  throw new VestryError('BACKEND_AUTH_FAILED', 'There are no AWS credentials to log in with', {
    hint: 'Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE with a credentials file, or run where AWS_CONTAINER_CREDENTIALS_FULL_URI is set. Instance metadata is never asked.',
  })
}

function fromEnvironment(env: AwsKeySources['env']): AwsKey | undefined {
  return keyOf(env['AWS_ACCESS_KEY_ID'], env['AWS_SECRET_ACCESS_KEY'], env['AWS_SESSION_TOKEN'])
}

async function fromFile(env: AwsKeySources['env']): Promise<AwsKey | undefined> {
  const path =
    env['AWS_SHARED_CREDENTIALS_FILE'] ?? join(env['HOME'] ?? homedir(), '.aws/credentials')
  const text = await readFile(path, 'utf8').catch(() => undefined)
  if (text === undefined) return undefined
  const values = profile(text, env['AWS_PROFILE'] ?? 'default')
  return keyOf(
    values.get('aws_access_key_id'),
    values.get('aws_secret_access_key'),
    values.get('aws_session_token'),
  )
}

/** One section of an INI file. */
export function profile(text: string, name: string): ReadonlyMap<string, string> {
  const values = new Map<string, string>()
  let inside = false
  for (const raw of text.split('\n')) {
    const line = raw.trim()
    const section = /^\[\s*(?:profile\s+)?(.+?)\s*\]$/.exec(line)
    if (section !== null) inside = section[1] === name
    const pair = /^([\w-]+)\s*=\s*(.*)$/.exec(line)
    if (inside && pair !== null) values.set((pair[1] as string).toLowerCase(), pair[2] as string)
  }
  return values
}

async function fromContainer(
  { env, fetchText }: AwsKeySources,
  signal: AbortSignal,
): Promise<AwsKey | undefined> {
  const relative = env['AWS_CONTAINER_CREDENTIALS_RELATIVE_URI']
  const url =
    relative === undefined
      ? env['AWS_CONTAINER_CREDENTIALS_FULL_URI']
      : new URL(relative, CONTAINER_HOST).href
  if (url === undefined) return undefined
  const tokenFile = env['AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE']
  const token =
    tokenFile === undefined
      ? env['AWS_CONTAINER_AUTHORIZATION_TOKEN']
      : (await readFile(tokenFile, 'utf8')).trim()
  const text = await fetchText(url, token === undefined ? [] : [['Authorization', token]], signal)
  try {
    const { AccessKeyId, SecretAccessKey, Token } = JSON.parse(text) as Record<string, unknown>
    return keyOf(AccessKeyId, SecretAccessKey, Token)
  } catch {
    throw new VestryError('BACKEND_AUTH_FAILED', 'The container’s AWS credentials are not JSON')
  }
}

function keyOf(id: unknown, secret: unknown, token: unknown): AwsKey | undefined {
  if (typeof id !== 'string' || typeof secret !== 'string' || id === '' || secret === '')
    return undefined
  const session = typeof token === 'string' && token !== '' ? token : undefined
  return { accessKeyId: id, secretAccessKey: secret, sessionToken: session }
}
