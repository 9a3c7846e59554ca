/**
 * Names of secrets as paths of the vault, `secrets/<agent>/<name>`, and back. Names that the vault's narrower grammar
 * has no room for (a segment that begins with a dot or a dash, too many segments, too long) become
 * `secrets/<agent>/_=<digest>`: `=` is in no secret's name, so two names never share a path.
 */
import { hash } from 'node:crypto'
import { isPath } from '../../vault/credential.ts'
import type { SecretPlace } from '../place.ts'

export const PREFIX = 'secrets/'
const HASHED = '_='
/** Credential metadata is cut into texts of this length. */
const CHUNK = 512
const NAME_KEY = /^name\d+$/

export function vaultPath({ agent, name }: SecretPlace): string {
  const plain = `${PREFIX}${agent}/${name}`
  return isPath(plain) ? plain : `${PREFIX}${agent}/${HASHED}${hash('sha256', name, 'hex')}`
}

/** What the credential has to say of its name, when its path does not. */
export function nameFacts(place: SecretPlace): Record<string, string> {
  const { name } = place
  if (vaultPath(place) === `${PREFIX}${place.agent}/${name}`) return {}
  const count = Math.ceil(name.length / CHUNK)
  return Object.fromEntries(
    Array.from({ length: count }, (_, at) => [
      `name${at}`,
      name.slice(at * CHUNK, (at + 1) * CHUNK),
    ]),
  )
}

/** The place of a credential under {@link PREFIX}; undefined for one that is none of ours. */
export function placeOf(
  path: string,
  metadata: Readonly<Record<string, string>>,
): SecretPlace | undefined {
  const [, agent, rest] = /^secrets\/([^/]+)\/(.+)$/.exec(path) ?? []
  if (agent === undefined || rest === undefined) return undefined
  if (!rest.startsWith(HASHED)) return { agent, name: rest }
  let name = ''
  const count = Object.keys(metadata).filter((key) => NAME_KEY.test(key)).length
  for (let at = 0; at < count; at += 1) name += metadata[`name${at}`] ?? ''
  return vaultPath({ agent, name }) === path ? { agent, name } : undefined
}
