/**
 * `http_header`: the ready-made header, secret included. Revealing, so policy must say so and a lease
 * is recorded (vault.md §7.3).
 */
import { Secret, unpooled } from '../../seal/secret.ts'
import {
  assertUnlocked,
  INJECTION_PARAMS,
  inject,
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
      data: { header_type: context.headerType, header_name: context.headerName },
      approvalParams: context,
      revealing: true,
      check: (credential) => assertUnlocked(wanted, credential),
      async run({ open, note }) {
        const { secret, version } = await open()
        using value = secret
        const injection = inject(wanted, value)
        note({ version })
        const line = wholeLine(injection.header, injection.value)
        return {
          result: { header_name: injection.header, key_version: version },
          secrets: [
            { name: 'header_value', value: injection.value, as: 'latin1' },
            { name: 'header', value: line, as: 'latin1' },
          ],
          release: () => {
            injection[Symbol.dispose]()
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
