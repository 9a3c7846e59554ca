/** `store`: an agent writes a credential of its own, where policy grants exactly that (wire contract §6.15). */
import { VestryError } from '@vestry/contract/errors'
import { perform } from '../../call/perform.ts'
import { decodeHexBytes } from '../../seal/bytes-text.ts'
import { hmacTag } from '../../seal/hash.ts'
import { Secret } from '../../seal/secret.ts'
import { CREDENTIAL_TYPES, CredentialFacts, MAX_VALUE_BYTES } from '../credential.ts'
import { invalid, optionalString, type Params } from '../operations/params.ts'
import type { AgentCall } from '../vault.ts'
import type { Reply } from '../wire/reply.ts'
import { agentOf, protectedCall, readPath, unknownParams } from './context.ts'

const KNOWN = ['path', 'value', 'type', 'description']
const MAX_DESCRIPTION = 1_024

/**
 * `value` is hex, as in `retrieve`. It was lifted out of the frame before parsing and never was a string.
 */
export async function store(
  call: AgentCall & { readonly secretValue: Uint8Array | undefined },
): Promise<Reply> {
  const { vault, params, secretValue } = call
  const { path, found } = await readPath(call)
  using value = readValue(secretValue)
  const type = readType(params)
  const description = optionalString(params, 'description', MAX_DESCRIPTION)
  const writer = `agent:${agentOf(call).name}`

  const version = await perform<number>(vault.stations, {
    ...protectedCall(call, path, found),
    action: 'vault:store',
    event: 'credential.store',
    data: { ...unknownParams(call, KNOWN), bytes_in: value.length },
    approvalParams: {
      value: hmacTag(vault.seal.keys.hashKey, value.bytes),
      type: type ?? null,
      description: description ?? null,
    },
    exists: async () => {
      // A deleted one counts: its older versions would come back with the new one.
      if (found !== undefined || (await vault.credentials.show(path)) !== undefined)
        throw taken(path)
    },
    settle: () => ({
      effect: async (note) => {
        const { value: written, generation } = await vault.credentials.put(
          path,
          value.bytes,
          {
            ...(type !== undefined && { type }),
            ...(description !== undefined && { description }),
            tags: [`writer:${agentOf(call).name}`],
          },
          { createdBy: writer, expectedVersion: 0 },
          CredentialFacts.parse({}),
        )
        note({ version: written.version, generation })
        return written.version
      },
    }),
  })
  return { result: { path, version, stored: true } }
}

function taken(path: string): VestryError {
  return new VestryError('CONFLICT', `'${path}' exists`, {
    hint: 'Agents only create; ask an operator to write a new version',
    context: { path },
  })
}

function readType(params: Params) {
  const named = optionalString(params, 'type', 64)
  const type = CREDENTIAL_TYPES.find((known) => known === named)
  if (named === undefined || type !== undefined) return type
  throw invalid('type', 'is not known', `Use one of ${CREDENTIAL_TYPES.join(', ')}`)
}

function readValue(hex: Uint8Array | undefined): Secret {
  if (hex === undefined) throw invalid('value', 'is required, as hexadecimal text')
  if (hex.length > 2 * MAX_VALUE_BYTES)
    throw invalid('value', `is larger than ${MAX_VALUE_BYTES} bytes`)
  try {
    return Secret.own(decodeHexBytes(hex))
  } catch {
    throw invalid('value', 'is not hexadecimal')
  }
}
