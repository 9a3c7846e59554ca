/** Secrets that the process was given in its environment, known by the names of the variables. */
import type { KeyRule } from './sensitive-key.ts'

/** Shorter ones would blot out ordinary text. */
const LEAST_LENGTH = 8
const MOST = 512

export function environmentSecrets(
  env: Readonly<Record<string, string | undefined>>,
  keyRule: KeyRule,
): string[] {
  const secrets = new Set<string>()
  for (const [name, value] of Object.entries(env)) {
    if (value === undefined || value.trim().length < LEAST_LENGTH) continue
    // The working directory, as shells name it: no secret, and part of nearly every path.
    if (name === 'PWD' && value.startsWith('/')) continue
    const verdict = keyRule(name)
    const isSecret = verdict === 'secret' || (verdict === 'counter' && !COUNT.test(value.trim()))
    if (isSecret) secrets.add(value)
    if (secrets.size >= MOST) break
  }
  return [...secrets]
}

/** A limit such as `MAX_TOKENS=12000000`. */
const COUNT = /^(?:[\d._]+|true|false)$/i
