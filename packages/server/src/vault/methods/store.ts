/** `store`: an agent writes a credential of its own, where policy grants exactly that (vault.md §6.15). */
import { VestryError } from '@vestry/contract/errors'
import { perform } from '../../call/perform.ts'
import { decodeHexBytes } from '../../seal/bytes-text.ts'
import { CREDENTIAL_TYPES, CredentialFacts, MAX_VALUE_BYTES } from '../credential.ts'
import { invalid, optionalString } from '../operations/params.ts'
import type { AgentCall } from '../vault.ts'
import type { Reply } from '../wire/reply.ts'
import { protectedCall, readPath, unknownParams } from './context.ts'

const KNOWN = ['path', 'value', 'type', 'description']

/**
 * `value` is hex, as in `retrieve`. It was lifted out of the frame before parsing and never was a string.
 */
export async function store(
  call: AgentCall & { readonly secretValue: Uint8Array | undefined },
): Promise<Reply> {
  const { vault, params, secretValue } = call
  const { path, found } = await readPath(call)
  if (secretValue === undefined) throw invalid('value', 'is required, as hexadecimal text')
  const type = CREDENTIAL_TYPES.find((known) => known === optionalString(params, 'type', 64))
  const description = optionalString(params, 'description', 1024)
  const base = protectedCall(call, path, found)
  const agent = call.session.principal.kind === 'agent' ? call.session.principal.agent.name : ''

  const version = await perform(vault.stations, {
    ...base,
    action: 'vault:store',
    event: 'credential.store',
    data: { ...unknownParams(call, KNOWN), bytes_in: secretValue.length / 2 },
    exists: () => {
      if (found === undefined) return
      throw new VestryError('CONFLICT', `'${path}' exists`, {
        hint: 'Agents only create; ask an operator to write a new version',
        context: { path },
      })
    },
    effect: async (_decision, note) => {
      const value = decodeValue(secretValue)
      try {
        const facts = {
          ...(type !== undefined && { type }),
          ...(description !== undefined && { description }),
          tags: [`writer:${agent}`],
        }
        const { value: written, generation } = await vault.credentials.put(
          path,
          value,
          facts,
          { createdBy: `agent:${agent}`, expectedVersion: 0 },
          CredentialFacts.parse({}),
        )
        note({ version: written.version, generation })
        return written.version
      } finally {
        value.fill(0)
      }
    },
  })
  return { result: { path, version, stored: true } }
}

function decodeValue(hex: Uint8Array): Uint8Array {
  let value: Uint8Array
  try {
    value = decodeHexBytes(hex)
  } catch (cause) {
    throw new VestryError('INVALID_PARAMS', 'value is not hexadecimal', {
      cause,
      context: { param: 'value' },
    })
  }
  if (value.length <= MAX_VALUE_BYTES) return value
  value.fill(0)
  throw invalid('value', `is larger than ${MAX_VALUE_BYTES} bytes`)
}
