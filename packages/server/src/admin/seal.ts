/** Sealing, slots, rotation of the inner keys, backup, and the state of the daemon. */
import { VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import { decodeBase64Bytes } from '../seal/bytes-text.ts'
import type { Proof } from '../seal/proof.ts'
import type { UnsealResult } from '../seal/seal.ts'
import type { Secret } from '../seal/secret.ts'
import type { AdminDeps } from './deps.ts'
import { describeSlot } from './slot-reply.ts'
import { type AdminVerb, verb } from './verb.ts'

const ProofMembers = {
  passphrase_base64: z.literal('').optional(),
  keyfile_base64: z.literal('').optional(),
}

/** Decodes one lifted secret; the caller disposes it by `using`. */
function bytesOf(
  secrets: ReadonlyMap<string, Secret>,
  name: string,
): ({ bytes: Uint8Array } & Disposable) | undefined {
  const text = secrets.get(name)
  if (text === undefined) return undefined
  let bytes: Uint8Array
  try {
    bytes = decodeBase64Bytes(text.bytes)
  } catch (cause) {
    throw new VestryError('INVALID_PARAMS', `${name} is not base64`, { cause })
  }
  return { bytes, [Symbol.dispose]: () => void bytes.fill(0) }
}

async function withProof<T>(
  secrets: ReadonlyMap<string, Secret>,
  run: (proof: Proof) => Promise<T>,
): Promise<T> {
  using passphrase = bytesOf(secrets, 'passphrase_base64')
  using keyfile = bytesOf(secrets, 'keyfile_base64')
  if (passphrase !== undefined) return await run({ passphrase: passphrase.bytes })
  if (keyfile !== undefined) return await run({ keyfile: keyfile.bytes })
  throw new VestryError('INVALID_PARAMS', 'a proof is required: passphrase or key file')
}

/** What {@link unseal} answers when there was nothing to do. */
export const ALREADY_OPEN = { sealed: false, progress: null }

/** Not a verb: it must work while nobody can log in. */
export async function unseal(
  deps: AdminDeps,
  secrets: ReadonlyMap<string, Secret>,
): Promise<Record<string, unknown>> {
  const { seal } = deps.vault
  if (seal.state === 'unsealed') return ALREADY_OPEN
  using passphrase = bytesOf(secrets, 'passphrase_base64')
  using keyfile = bytesOf(secrets, 'keyfile_base64')
  const share = secrets.get('share')
  let result: UnsealResult
  if (passphrase !== undefined) result = await seal.unseal({ passphrase: passphrase.bytes })
  else if (keyfile !== undefined) result = await seal.unseal({ keyfile: keyfile.bytes })
  else if (share !== undefined) result = await seal.unseal({ share: share.bytes })
  else
    throw new VestryError(
      'INVALID_PARAMS',
      'passphrase_base64, keyfile_base64 or share is required',
    )
  if (result.state === 'unsealed') await deps.lifecycle.unsealed()
  return {
    sealed: result.state !== 'unsealed',
    progress: result.progress ?? null,
    failed_attempts: result.failedBefore ?? 0,
  }
}

export const sealVerbs: readonly AdminVerb[] = [
  verb({
    name: 'seal',
    // Whoever administers may pull the plug; opening and re-keying takes an owner.
    action: 'admin:write',
    event: 'vault.seal',
    params: z.strictObject({}),
    run: async ({ deps }) => {
      // After the reply: sealing ends the session that asked for it.
      setImmediate(() => void deps.lifecycle.seal('operator'))
      return { sealed: true }
    },
  }),
  verb({
    name: 'slot.list',
    action: 'admin:read',
    event: 'admin.read',
    params: z.strictObject({}),
    run: async ({ deps }) => ({
      slots: (await deps.vault.seal.listSlots()).map(describeSlot),
    }),
  }),
  verb({
    name: 'slot.add',
    action: 'admin:seal',
    event: 'vault.slot_add',
    params: z.strictObject({
      type: z.enum(['passphrase', 'keyfile', 'shamir']),
      label: z.string().max(128).optional(),
      threshold: z.int().min(2).max(255).optional(),
      shares: z.int().min(2).max(255).optional(),
      new_passphrase_base64: z.literal('').optional(),
      new_keyfile_base64: z.literal('').optional(),
      ...ProofMembers,
    }),
    data: ({ type }) => ({ type }),
    run: async ({ deps, params, secrets, note }) => {
      using passphrase = bytesOf(secrets, 'new_passphrase_base64')
      using keyfile = bytesOf(secrets, 'new_keyfile_base64')
      const label = params.label === undefined ? {} : { label: params.label }
      const spec = slotSpec(params, passphrase?.bytes, keyfile?.bytes, label)
      const added = await withProof(secrets, (proof) => deps.vault.seal.addSlot(spec, proof))
      note({ generation: added.generation, slot: added.slot.id })
      const shares = added.shares.map((value, index) => ({
        name: `share_${index + 1}`,
        value,
        as: 'latin1' as const,
      }))
      return {
        result: { slot: describeSlot(added.slot), share_count: shares.length },
        ...(shares.length > 0 && { secrets: shares }),
        release: () => {
          for (const { value } of shares) value[Symbol.dispose]()
        },
      }
    },
  }),
  verb({
    name: 'slot.remove',
    action: 'admin:seal',
    event: 'vault.slot_remove',
    params: z.strictObject({ id: z.string().max(128), ...ProofMembers }),
    data: ({ id }) => ({ slot: id }),
    run: async ({ deps, params, secrets, note }) => {
      const { generation } = await withProof(secrets, (proof) =>
        deps.vault.seal.removeSlot(params.id, proof),
      )
      note({ generation })
      return { removed: params.id }
    },
  }),
  verb({
    name: 'passwd',
    action: 'admin:seal',
    event: 'vault.passphrase',
    params: z.strictObject({
      passphrase_base64: z.literal(''),
      new_passphrase_base64: z.literal(''),
    }),
    run: async ({ deps, secrets, note }) => {
      using current = bytesOf(secrets, 'passphrase_base64')
      using next = bytesOf(secrets, 'new_passphrase_base64')
      if (current === undefined || next === undefined) {
        throw new VestryError('INVALID_PARAMS', 'both passphrases are required')
      }
      const changed = await deps.vault.seal.changePassphrase(current.bytes, next.bytes)
      note({ generation: changed.generation, slot: changed.slot.id })
      return { slot: describeSlot(changed.slot) }
    },
  }),
  verb({
    name: 'rotate_term',
    action: 'admin:seal',
    event: 'vault.rotate_term',
    params: z.strictObject({}),
    run: async ({ deps, note }) => {
      const rotated = await deps.vault.seal.rotateTerm()
      note({ generation: rotated.generation, term: rotated.term })
      deps.lifecycle.startRewrap()
      return { term: rotated.term, rewrapping: true }
    },
  }),
  verb({
    name: 'rotate_root',
    action: 'admin:seal',
    event: 'vault.rotate_root',
    params: z.strictObject(ProofMembers),
    run: async ({ deps, secrets, note }) => {
      const proofs: Proof[] = []
      using passphrase = bytesOf(secrets, 'passphrase_base64')
      using keyfile = bytesOf(secrets, 'keyfile_base64')
      if (passphrase !== undefined) proofs.push({ passphrase: passphrase.bytes })
      if (keyfile !== undefined) proofs.push({ keyfile: keyfile.bytes })
      const rotated = await deps.vault.seal.rotateRoot(proofs)
      note({ generation: rotated.generation, kept: rotated.kept, dropped: rotated.dropped })
      return { kept: rotated.kept, dropped: rotated.dropped }
    },
  }),
  verb({
    name: 'backup',
    action: 'admin:seal',
    event: 'vault.backup',
    params: z.strictObject({ directory: z.string().min(1).max(4096) }),
    run: async ({ deps, params, by, note }) => {
      const made = await deps.lifecycle.backup(params.directory, by)
      note({ files: made['files'] })
      return made
    },
  }),
  verb({
    name: 'server.show',
    action: 'admin:read',
    event: 'admin.read',
    params: z.strictObject({}),
    run: async ({ deps }) => {
      const { vault } = deps
      const { createdAt, ...term } = await vault.seal.termStatus()
      return {
        ...(await deps.lifecycle.describe()),
        vault_id: vault.seal.keys.vaultId,
        server_id: vault.seal.keys.serverKey.id,
        credentials: await vault.credentials.count(),
        agents: (await vault.agents.list()).length,
        policies: vault.stations.policy.size,
        policy_set: vault.stations.policy.digest,
        leases: vault.leases.live,
        sessions: vault.sessions.size,
        failed_unseals: vault.seal.failedAttempts,
        term: { ...term, created_at: new Date(createdAt).toISOString() },
        generation: await deps.store.generation(),
        audit: {
          ...vault.stations.audit.head(),
          available: vault.stations.audit.available,
          lag: vault.stations.audit.lag,
        },
      }
    },
  }),
]

function slotSpec(
  params: {
    type: 'passphrase' | 'keyfile' | 'shamir'
    threshold?: number | undefined
    shares?: number | undefined
  },
  passphrase: Uint8Array | undefined,
  keyfile: Uint8Array | undefined,
  label: { label?: string },
) {
  switch (params.type) {
    case 'passphrase':
      if (passphrase === undefined)
        throw new VestryError('INVALID_PARAMS', 'new_passphrase_base64 is required')
      return { type: 'passphrase' as const, passphrase, ...label }
    case 'keyfile':
      if (keyfile === undefined)
        throw new VestryError('INVALID_PARAMS', 'new_keyfile_base64 is required')
      return { type: 'keyfile' as const, keyfile, ...label }
    case 'shamir':
      return {
        type: 'shamir' as const,
        ...(params.threshold !== undefined && { threshold: params.threshold }),
        ...(params.shares !== undefined && { shares: params.shares }),
        ...label,
      }
  }
}
