/**
 * `http_header`: the ready-made header, secret included. Revealing, so policy must say so and a lease
 * is recorded (wire contract §7.3).
 */
import { buildHeader } from '../../egress/injection.ts'
import { Secret, unpooled } from '../../seal/secret.ts'
import { assertNotUseOnly } from '../credential.ts'
import { isoTime } from '../methods/granting.ts'
import {
  assertUnlocked,
  INJECTION_PARAMS,
  injectionContext,
  readInjection,
} from './injection-params.ts'
import type { Operation } from './operation.ts'

export const headerOperation: Operation = {
  params: INJECTION_PARAMS,
  prepare(params, found) {
    const wanted = readInjection(params, found)
    const context = injectionContext(wanted)
    return {
      context,
      data: { header_type: context.headerType },
      approvalParams: wanted.spec,
      reveals: true,
      check: (credential) => {
        assertNotUseOnly(credential, 'use:http_header')
        assertUnlocked(wanted, credential)
      },
      async run({ open, note, lease: planned }) {
        const { secret, version } = await open()
        using credential = secret
        const { header, value } = buildHeader(wanted.spec, credential)
        const line = wholeLine(header, value)
        note({ version })
        const lease = planned.issue(version)
        return {
          result: {
            header_name: header,
            key_version: version,
            lease_id: lease.id,
            ttl: planned.grant.ttl,
            expires_at: isoTime(lease.expiresAt),
          },
          secrets: [
            { name: 'header_value', value, as: 'latin1' },
            { name: 'header', value: line, as: 'latin1' },
          ],
          release: () => {
            value[Symbol.dispose]()
            line[Symbol.dispose]()
          },
        }
      },
    }
  },
}

/** `<name>: <value>`, as the first clients read it. */
function wholeLine(name: string, value: Secret): Secret {
  const start = Buffer.from(`${name}: `, 'latin1')
  const bytes = unpooled(start.length + value.length)
  bytes.set(start)
  bytes.set(value.bytes, start.length)
  return Secret.own(bytes)
}
