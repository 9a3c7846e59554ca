/** `vestry audit verify`: asked of the daemon, or done here on the files when there is none. */
import { VestryError } from '@vestry/contract/errors'
import { readServerKey } from '../app/server-key.ts'
import type { CommandIo } from './command-io.ts'
import { failureOf } from './failure.ts'

/** Without these a daemon cannot say anything about its log, but its files still can be read. */
const NO_HELP = new Set([
  'DAEMON_UNREACHABLE',
  'VAULT_LOCKED',
  'NOT_INITIALIZED',
  'CONNECTION_CLOSED',
])

export async function verifyAudit(
  io: CommandIo,
  { dir, publicKey }: { dir?: string; publicKey?: string },
): Promise<Readonly<Record<string, unknown>>> {
  if (dir !== undefined || publicKey !== undefined) {
    return verifyFiles(io, dir ?? io.home.audit, publicKey)
  }
  try {
    return await io.call('audit.verify', {}, 'verifying the record')
  } catch (error) {
    const { code } = failureOf(error)
    if (!NO_HELP.has(code)) throw error
    io.note(`No unsealed daemon (${code}): verifying the files in ${io.home.audit}.`)
    return verifyFiles(io, io.home.audit, undefined)
  }
}

async function verifyFiles(
  io: CommandIo,
  dir: string,
  publicKey: string | undefined,
): Promise<Readonly<Record<string, unknown>>> {
  const [{ verifyLog }, { describeReport }] = await Promise.all([
    import('../audit/verify.ts'),
    import('../admin/audit-report.ts'),
  ])
  const own = dir === io.home.audit ? readServerKey(io.home.serverPublicKey) : undefined
  const key = publicKey ?? own
  const publicKeys = key === undefined ? [] : [keyOf(key)]
  const report = await io.busy('verifying the record', () => verifyLog(dir, { publicKeys }))
  return describeReport(report)
}

/** @throws VestryError `USAGE` */
function keyOf(hex: string): Uint8Array {
  if (!/^[0-9a-fA-F]{64}$/.test(hex)) {
    throw new VestryError('USAGE', '--public-key expects 64 hexadecimal digits', {
      hint: 'The daemon shows its key with "vestry status"',
    })
  }
  return Buffer.from(hex, 'hex')
}
