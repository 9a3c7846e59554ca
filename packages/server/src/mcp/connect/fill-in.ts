/**
 * Fills the secrets into an environment or into headers at the moment of use, and keeps what is needed to take them
 * out again of everything the server says.
 */
import { VestryError } from '@vestry/contract/errors'
import { Needles } from '../../egress/needles.ts'
import { Scrubber } from '../../egress/scrub.ts'
import { Secret } from '../../seal/secret.ts'
import type { SecretResolver } from '../../secrets/resolver.ts'

export interface FilledIn extends Disposable {
  /** With the secrets in them: to be handed on at once, and not kept. */
  readonly values: Readonly<Record<string, string>>
  readonly hasSecrets: boolean
  /** Works until this is disposed. */
  readonly scrubber: Scrubber
}

const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d

/** A reference alone, or behind words such as `Bearer`. */
const WITH_REFERENCE = /^(?<before>(?:.*\s)?)(?<reference>(?:secret|vault):\/\/\S+)$/s

/** @throws VestryError as {@link SecretResolver.resolve}; UNUSABLE_CREDENTIAL for a secret too short to be found again. */
export async function fillIn(
  given: Readonly<Record<string, string>>,
  { secrets, owner }: { secrets: SecretResolver; owner: string },
): Promise<FilledIn> {
  const found: Secret[] = []
  try {
    const values: Record<string, string> = {}
    for (const [name, value] of Object.entries(given)) {
      const { before = '', reference } = WITH_REFERENCE.exec(value)?.groups ?? {}
      if (reference === undefined) {
        values[name] = value
        continue
      }
      using secret = await secrets.resolve(reference, owner)
      const line = oneLine(secret.bytes)
      found.push(Secret.copy(line))
      values[name] = before + textOf(line, name)
    }
    const needles = Needles.of(found)
    return {
      values,
      hasSecrets: found.length > 0,
      scrubber: new Scrubber(needles),
      [Symbol.dispose]: () => needles[Symbol.dispose](),
    }
  } finally {
    for (const secret of found) secret[Symbol.dispose]()
  }
}

/** Files and prompts leave a line end behind that is no part of a secret. */
function oneLine(bytes: Uint8Array): Uint8Array {
  const crlf = bytes.at(-1) === LINE_FEED && bytes.at(-2) === CARRIAGE_RETURN
  return crlf ? bytes.subarray(0, -2) : bytes.at(-1) === LINE_FEED ? bytes.subarray(0, -1) : bytes
}

/** Environments and headers are text, so here the secret becomes a string for as long as it takes to hand it on. */
function textOf({ buffer, byteOffset, length }: Uint8Array, name: string): string {
  const text = Buffer.from(buffer, byteOffset, length).toString('utf8')
  if (!text.includes('\0')) return text
  throw new VestryError('UNUSABLE_CREDENTIAL', `The secret for ${name} holds a NUL byte`)
}
