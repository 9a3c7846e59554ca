/** Telling failures apart. `node examples/vault/errors.ts` */
import {
  AccessDenied,
  AuthError,
  CredentialNotFound,
  LeaseExpired,
  RateLimited,
  SanctumClient,
  SessionExpired,
  VaultError,
  VaultLocked,
} from '@vestry/sdk/vault'
import { type ExampleTarget, targetOf } from './target.ts'

/** One line that says what happened and what to do about it. */
export function explain(error: unknown): string {
  if (error instanceof AccessDenied) return `No access: ${error.detail} → ${error.suggestion}`
  if (error instanceof CredentialNotFound) return `Path not found: ${error.detail}`
  if (error instanceof AuthError) return `Authentication failed: ${error.detail}`
  if (error instanceof VaultLocked) return 'The vault is sealed: an operator has to unseal it'
  if (error instanceof LeaseExpired) return `Lease ${error.context['lease_id']} has run out`
  if (error instanceof RateLimited) return `Too many requests, wait ${error.retryAfterMs} ms`
  if (error instanceof SessionExpired) return 'The session is over: connect() again'
  if (error instanceof VaultError) return `[${error.code}] ${error.detail} (${error.docsUrl})`
  throw error
}

export async function retrieveOrExplain(
  { agent, socketPath, keyPath }: ExampleTarget,
  path: string,
): Promise<string> {
  try {
    await using client = new SanctumClient(agent, { socketPath, keyPath })
    await client.connect()
    const secret = await client.retrieve(path)
    return `${path} has ${secret.length} characters`
  } catch (error) {
    return explain(error)
  }
}

if (import.meta.main) {
  const target = targetOf(process.env)
  for (const path of [target.credential, 'no/such/credential', 'not a path']) {
    console.log(await retrieveOrExplain(target, path))
  }
}
