/** Where the trust bundle of another issuer is read from: a file, or an address through the guarded way out. */
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { VestryError } from '@vestry/contract/errors'
import { VERSION } from '@vestry/contract/version'
import { send } from '../egress/send.ts'
import { ExternalBundle } from '../identity/runs/external-bundle.ts'
import type { Parts } from './assemble.ts'

const BUNDLE_TIMEOUT_MS = 5_000
const MAX_BUNDLE_BYTES = 1_048_576

/** @throws VestryError `CONFIG_INVALID` when both are configured. */
export function externalBundle({ config, vault }: Parts): ExternalBundle | undefined {
  const { bundle_file: file, bundle_url: url } = config.identity
  if (file !== undefined && url !== undefined)
    throw new VestryError(
      'CONFIG_INVALID',
      'identity.bundle_file and bundle_url exclude each other',
    )
  if (file !== undefined) return new ExternalBundle({ load: () => bundleIn(file), now: vault.now })
  if (url === undefined) return undefined
  const load = async (): Promise<string> => {
    const { status, body } = await send(
      {
        url,
        method: 'GET',
        headers: [['accept', 'application/json']],
        followRedirects: false,
        userAgent: `vestry/${VERSION}`,
        poolKey: { path: 'identity:bundle', version: 0 },
        authorize: () => ({ exactHost: true, allowHttp: true, followRedirects: false }),
        timeoutMs: BUNDLE_TIMEOUT_MS,
        maxResponseBytes: MAX_BUNDLE_BYTES,
        onOverflow: 'refuse',
      },
      vault.egress.deps,
    )
    if (status !== 200) throw new VestryError('UPSTREAM_ERROR', `the bundle answered ${status}`)
    return Buffer.from(body).toString('utf8')
  }
  return new ExternalBundle({ load, now: vault.now })
}

/** @throws VestryError `CONFIG_INVALID` for what is no file, `REQUEST_TOO_LARGE`; the platform's error. */
export async function bundleIn(path: string): Promise<string> {
  // A pipe that nobody writes to would hold up everybody who waits for a key.
  await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  if (!(await file.stat()).isFile()) throw new VestryError('CONFIG_INVALID', `${path} is no file`)
  const bytes = Buffer.alloc(MAX_BUNDLE_BYTES + 1)
  const { bytesRead } = await file.read(bytes)
  if (bytesRead > MAX_BUNDLE_BYTES) throw new VestryError('REQUEST_TOO_LARGE')
  return bytes.toString('utf8', 0, bytesRead)
}
