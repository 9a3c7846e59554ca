/**
 * Live claims on disk: one that was acknowledged outlives the daemon. A row is authority, so all of it is signed, and
 * one that was altered counts for nothing.
 */
import { accept } from '@vestry/contract/accept'
import * as z from 'zod'
import type { Tables } from '../../store/schema.ts'
import type { Store } from '../../store/store.ts'
import type { RowGuard } from '../row-guard.ts'
import type { Claim } from './resolution.ts'

export interface ClaimStoreDeps {
  readonly store: Store
  readonly guard: RowGuard
  /** The node whose host the processes run on. */
  readonly node: string
  readonly bootId: string
  /** Epoch ms. */
  readonly now: () => number
}

const TABLE = 'claim'
/** Those of nodes that are gone are looked after by nobody else. */
const KEPT_AFTER_END_MS = 86_400_000

const Definition = z.strictObject({
  agent_name: z.string(),
  agent_role: z.string(),
  capabilities: z.array(z.string()),
  session: z.string(),
  scope: z.enum(['process', 'tree']),
  pid: z.int(),
  start_time: z.string(),
  uid: z.int(),
  token: z.boolean().optional(),
  exe_sha256: z.string().optional(),
  program: z.string().optional(),
})

/** A claim with where its process runs. */
export interface StoredClaim {
  readonly claim: Claim
  readonly node: string
  /** Of this very boot of this host. */
  readonly here: boolean
}

export class ClaimStore {
  readonly #deps: ClaimStoreDeps

  constructor(deps: ClaimStoreDeps) {
    this.#deps = deps
  }

  get node(): string {
    return this.#deps.node
  }

  /**
   * @param maxElsewhere Claims of the same agent that other nodes may have.
   * @returns false when they have more.
   */
  add(claim: Claim, maxElsewhere: number): Promise<boolean> {
    const { store, now, node } = this.#deps
    const row = this.#seal(claim)
    return store.write(async (trx) => {
      const { count } = await trx
        .selectFrom(TABLE)
        .select((is) => is.fn.countAll().as('count'))
        .where('agent_id', '=', claim.agentId)
        .where('node', '!=', node)
        .where('expires_at', '>', now())
        .executeTakeFirstOrThrow()
      if (Number(count) > maxElsewhere) return false
      await trx
        .deleteFrom(TABLE)
        .where('expires_at', '<', now() - KEPT_AFTER_END_MS)
        .execute()
      await trx.insertInto(TABLE).values(row).execute()
      return true
    })
  }

  async renew(claim: Claim): Promise<void> {
    const { expires_at, mac } = this.#seal(claim)
    await this.#deps.store.write((trx) =>
      trx.updateTable(TABLE).set({ expires_at, mac }).where('id', '=', claim.id).execute(),
    )
  }

  /** Other nodes are told, whose processes these may be. */
  async remove(ids: readonly string[]): Promise<void> {
    if (ids.length === 0) return
    await this.#deps.store.write((trx) => trx.deleteFrom(TABLE).where('id', 'in', ids).execute(), {
      tell: [TABLE],
    })
  }

  /** Ids of those of this node, unread. */
  async ownIds(): Promise<Set<string>> {
    const rows = await this.#deps.store.db
      .selectFrom(TABLE)
      .select('id')
      .where('node', '=', this.#deps.node)
      .execute()
    return new Set(rows.map(({ id }) => id))
  }

  /** What the rows say that are ours; the others are named. */
  async all(): Promise<{ claims: StoredClaim[]; altered: string[] }> {
    const rows = await this.#deps.store.db
      .selectFrom(TABLE)
      .selectAll()
      .orderBy('issued_at')
      .orderBy('id')
      .execute()
    const claims: StoredClaim[] = []
    const altered: string[] = []
    for (const row of rows) {
      const claim = this.#open(row)
      if (claim === undefined) altered.push(row.id)
      else {
        const here = row.node === this.#deps.node && row.boot_id === this.#deps.bootId
        claims.push({ claim, node: row.node, here })
      }
    }
    return { claims, altered }
  }

  #seal(claim: Claim): Tables[typeof TABLE] {
    const definition: z.input<typeof Definition> = {
      agent_name: claim.agentName,
      agent_role: claim.agentRole,
      capabilities: [...claim.capabilities],
      session: claim.session,
      scope: claim.scope,
      pid: claim.pid,
      start_time: claim.startTime,
      uid: claim.uid,
      ...(claim.shown !== undefined && {
        token: claim.shown.token,
        exe_sha256: claim.shown.exeSha256,
        program: claim.shown.program,
      }),
    }
    const row = {
      id: claim.id,
      agent_id: claim.agentId,
      node: this.#deps.node,
      boot_id: this.#deps.bootId,
      definition_json: JSON.stringify(definition),
      issued_at: claim.issuedAtMs,
      expires_at: claim.expiresAtMs,
    }
    return { ...row, mac: this.#deps.guard.mac(TABLE, claim.id, row) }
  }

  #open({ mac, ...row }: Tables[typeof TABLE]): Claim | undefined {
    const { guard } = this.#deps
    let said: z.output<typeof Definition>
    try {
      guard.check(TABLE, row.id, row, mac)
      said = accept(Definition, JSON.parse(row.definition_json), 'STORE_CORRUPT')
    } catch (error) {
      if (isLocked(error)) throw error
      return undefined
    }
    return {
      id: row.id,
      agentId: row.agent_id,
      agentName: said.agent_name,
      agentRole: said.agent_role,
      capabilities: said.capabilities,
      session: said.session,
      scope: said.scope,
      pid: said.pid,
      startTime: said.start_time,
      uid: said.uid,
      issuedAtMs: row.issued_at,
      expiresAtMs: row.expires_at,
      ...(said.token !== undefined && {
        shown: {
          token: said.token,
          ...(said.exe_sha256 !== undefined && { exeSha256: said.exe_sha256 }),
          ...(said.program !== undefined && { program: said.program }),
        },
      }),
    }
  }
}

/** Sealed meanwhile: that says nothing of the row. */
function isLocked(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'VAULT_LOCKED'
}
