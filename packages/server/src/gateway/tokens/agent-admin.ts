/**
 * Creates and changes agents for the gateway's wire. Its agents have free names, so a unique one is derived;
 * a generated private key leaves in this one answer and is stored nowhere.
 */
import { generateKeyPair, type KeyObject } from 'node:crypto'
import { promisify } from 'node:util'
import { VestryError } from '@vestry/contract/errors'
import { randomHex } from '@vestry/contract/ids'
import type { Agent, NewAgent } from '../../identity/agent.ts'
import { type AgentKey, acceptKey } from '../../identity/agent-key.ts'
import { freeName, slug } from '../../identity/agent-name.ts'
import type { AgentStore } from '../../identity/agent-store.ts'
import type { Changed } from '../../identity/row-guard.ts'
import { encodeBase64Bytes } from '../../seal/bytes-text.ts'
import { Secret, unpooled } from '../../seal/secret.ts'
import { CREATED_BY, REQUIRE_SIGNATURE, TIMEZONE } from './agent-record.ts'
import type { AgentPatch, AgentRequest } from './agent-request.ts'

export interface AgentAdminDeps {
  readonly agents: AgentStore
  /** Epoch ms. */
  readonly now: () => number
}

export interface CreatedAgent extends Changed<Agent> {
  /** PKCS#8 PEM, absent when the caller gave a public key. The caller disposes it. */
  readonly privateKey: Secret | undefined
}

const RSA_BITS = 2048
const PEM_LINE = 64
/** Then the suffix is random: counting up through many agents of one name is slow. */
const NUMBERED_NAMES = 8

const newKeyPair = promisify(generateKeyPair)

/** @throws VestryError `VAULT_LOCKED`, `STORE_UNAVAILABLE` */
export async function createAgent(
  request: AgentRequest,
  { agents, now }: AgentAdminDeps,
): Promise<CreatedAgent> {
  const { key, privateKey } = await keyOf(request, now)
  try {
    const changed = await addUnderFreeName(agents, {
      displayName: request.name,
      role: request.role,
      keys: [key],
      meta: {
        [CREATED_BY]: request.createdBy,
        ...(request.timezone !== undefined && { [TIMEZONE]: request.timezone }),
        ...(request.requireSignature && { [REQUIRE_SIGNATURE]: 'true' }),
      },
    })
    return { ...changed, privateKey }
  } catch (error) {
    privateKey?.[Symbol.dispose]()
    throw error
  }
}

/**
 * @returns The agent as it is now; generation 0 when nothing had to change.
 * @throws VestryError `AGENT_NOT_FOUND`; `CONFLICT` for a revoked agent.
 */
export async function patchAgent(
  id: string,
  patch: AgentPatch,
  { agents }: AgentAdminDeps,
): Promise<Changed<Agent>> {
  const agent = await agents.byId(id)
  if (agent === undefined) throw new VestryError('AGENT_NOT_FOUND')
  if (agent.status === 'revoked') {
    throw new VestryError('CONFLICT', 'This agent is revoked', { hint: 'Revoking is final.' })
  }
  let changed: Changed<Agent> = { value: agent, generation: 0 }
  const meta = patchedMeta(agent, patch)
  if (meta !== undefined) changed = await agents.amend(agent.name, { meta })
  if (patch.status === undefined || patch.status === agent.status) return changed
  if (patch.status === 'enabled') return agents.enable(agent.name)
  return patch.status === 'disabled' ? agents.disable(agent.name) : agents.revoke(agent.name)
}

function patchedMeta(
  { meta }: Agent,
  { timezone, requireSignature }: AgentPatch,
): Record<string, string> | undefined {
  if (timezone === undefined && requireSignature === undefined) return undefined
  const next = { ...meta }
  if (timezone === null) delete next[TIMEZONE]
  else if (timezone !== undefined) next[TIMEZONE] = timezone
  if (requireSignature === false) delete next[REQUIRE_SIGNATURE]
  else if (requireSignature === true) next[REQUIRE_SIGNATURE] = 'true'
  return next
}

async function addUnderFreeName(
  agents: AgentStore,
  input: Omit<NewAgent, 'name'> & { displayName: string },
): Promise<Changed<Agent>> {
  const taken = new Set<string>()
  for (;;) {
    const name =
      taken.size < NUMBERED_NAMES
        ? freeName(input.displayName, (tried) => taken.has(tried))
        : `${slug(input.displayName).slice(0, 55)}-${randomHex(4)}`
    taken.add(name)
    if ((await agents.byName(name)) !== undefined) continue
    try {
      return await agents.add({ ...input, name })
    } catch (error) {
      // Somebody took the name in between.
      if (!(error instanceof VestryError) || error.code !== 'CONFLICT') throw error
    }
  }
}

async function keyOf(
  { key }: AgentRequest,
  now: () => number,
): Promise<{ key: AgentKey; privateKey: Secret | undefined }> {
  if (key !== undefined) return { key, privateKey: undefined }
  const pair = await newKeyPair('rsa', { modulusLength: RSA_BITS })
  const spki = pair.publicKey.export({ format: 'pem', type: 'spki' }).toString()
  return { key: acceptKey(spki, now()), privateKey: privateKeyPem(pair.privateKey) }
}

/** Made from bytes to bytes: the platform's own PEM would be a string, which cannot be wiped. */
function privateKeyPem(key: KeyObject): Secret {
  const der = key.export({ format: 'der', type: 'pkcs8' })
  const base64 = encodeBase64Bytes(der)
  der.fill(0)
  const head = Buffer.from(boundary('BEGIN'))
  const tail = Buffer.from(boundary('END'))
  const lines = Math.ceil(base64.length / PEM_LINE)
  const pem = unpooled(head.length + base64.length + lines + tail.length).fill(0x0a)
  pem.set(head)
  for (let line = 0; line < lines; line += 1) {
    const part = base64.subarray(line * PEM_LINE, (line + 1) * PEM_LINE)
    pem.set(part, head.length + line * (PEM_LINE + 1))
  }
  pem.set(tail, pem.length - tail.length)
  base64.fill(0)
  return Secret.own(pem)
}

function boundary(word: 'BEGIN' | 'END'): string {
  return `-----${word} PRIVATE KEY-----\n`
}
