/** Operators on disk. Refuses to revoke the last owner: nobody could add another one. */
import { randomUUID } from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import type { Tables } from '../store/schema.ts'
import type { Store } from '../store/store.ts'
import { isVaultName } from './agent-name.ts'
import { exportPublicKey, fingerprint, importPublicKey } from './ed25519.ts'
import type { Candidate } from './login.ts'
import { assertOperatorName, type Operator, type OperatorRole } from './operator.ts'
import type { Changed, RowGuard } from './row-guard.ts'

export interface OperatorStoreDeps {
  store: Store
  guard: RowGuard
  /** Epoch ms. */
  now: () => number
}

type OperatorRow = Tables['operator']

const NOBODY: Candidate<Operator> = { subject: undefined, keys: [], requireSigV2: false }

// Operators are few and log in rarely, so rows are read each time instead of being cached.
export class OperatorStore {
  readonly #deps: OperatorStoreDeps

  constructor(deps: OperatorStoreDeps) {
    this.#deps = deps
  }

  /**
   * @param publicKey 32 raw bytes.
   * @throws VestryError `CONFLICT` when the name is taken, `INVALID_PARAMS` for a weak key.
   */
  add(input: {
    name: string
    role: OperatorRole
    publicKey: Uint8Array
  }): Promise<Changed<Operator>> {
    const { store, guard, now } = this.#deps
    assertOperatorName(input.name)
    const operator: Operator = {
      id: randomUUID(),
      name: input.name,
      role: input.role,
      status: 'enabled',
      publicKey: Buffer.from(exportPublicKey(importPublicKey(input.publicKey))).toString('hex'),
      createdAt: now(),
    }
    const row = sealRow(operator, input.publicKey, guard)
    return store.change(async (trx) => {
      const taken = await trx
        .selectFrom('operator')
        .select('id')
        .where('name', '=', input.name)
        .where('status', '!=', 'revoked')
        .executeTakeFirst()
      if (taken !== undefined) throw nameTaken(input.name)
      const done = await trx
        .insertInto('operator')
        .values(row)
        .onConflict((conflict) => conflict.doNothing())
        .executeTakeFirst()
      if (done.numInsertedOrUpdatedRows !== 1n) throw nameTaken(input.name)
      return operator
    })
  }

  async byName(name: string): Promise<Operator | undefined> {
    const row = await this.#row('name', name)
    return row && openRow(row, this.#deps.guard)
  }

  async byId(id: string): Promise<Operator | undefined> {
    const row = await this.#row('id', id)
    return row && openRow(row, this.#deps.guard)
  }

  async list({ revoked = false }: { revoked?: boolean } = {}): Promise<Operator[]> {
    let query = this.#deps.store.db.selectFrom('operator').selectAll().orderBy('name')
    if (!revoked) query = query.where('status', '=', 'enabled')
    const rows = await query.execute()
    return rows.map((row) => openRow(row, this.#deps.guard))
  }

  /** Who may answer an admin challenge for `name`; hand it to login(). */
  async candidate(name: string): Promise<Candidate<Operator>> {
    const row = await this.#row('name', name)
    if (row === undefined || row.status !== 'enabled') return NOBODY
    const subject = openRow(row, this.#deps.guard)
    const key = importPublicKey(row.public_key)
    const keys = [{ key, fingerprint: fingerprint(row.public_key) }]
    return { subject, keys, requireSigV2: false }
  }

  /** Final; frees the name. @throws VestryError `CONFLICT` for the last owner. */
  revoke(name: string): Promise<Changed<Operator>> {
    const { store, guard } = this.#deps
    return store.change(async (trx) => {
      const owners = await trx
        .selectFrom('operator')
        .selectAll()
        .where('status', '=', 'enabled')
        .execute()
      const row = owners.find((candidate) => candidate.name === name)
      if (row === undefined) throw new VestryError('NOT_FOUND', `No operator is named "${name}"`)
      if (row.role === 'owner' && owners.filter(({ role }) => role === 'owner').length === 1)
        throw new VestryError('CONFLICT', `"${name}" is the last owner`, {
          hint: 'Add another owner first.',
        })
      const before = openRow(row, guard)
      const after: Operator = { ...before, status: 'revoked' }
      const done = await trx
        .updateTable('operator')
        .set(sealRow(after, row.public_key, guard))
        .where('id', '=', row.id)
        .where('mac', '=', row.mac)
        .executeTakeFirst()
      if (done.numUpdatedRows !== 1n)
        throw new VestryError('CONFLICT', `Operator "${name}" was changed at the same time`)
      return after
    })
  }

  async #row(column: 'id' | 'name', value: string): Promise<OperatorRow | undefined> {
    // Ids are within the name grammar too; what is outside of it is in no row.
    if (!isVaultName(value)) return undefined
    let query = this.#deps.store.db.selectFrom('operator').selectAll().where(column, '=', value)
    if (column === 'name') query = query.where('status', '!=', 'revoked')
    return query.executeTakeFirst()
  }
}

function sealRow(operator: Operator, publicKey: Uint8Array, guard: RowGuard): OperatorRow {
  const row = {
    id: operator.id,
    name: operator.name,
    role: operator.role,
    public_key: publicKey,
    status: operator.status,
    created_at: operator.createdAt,
  }
  return { ...row, mac: guard.mac('operator', operator.id, row) }
}

/** @throws VestryError `STORE_CORRUPT` for a row that we did not write. */
function openRow({ mac, ...row }: OperatorRow, guard: RowGuard): Operator {
  guard.check('operator', row.id, row, mac)
  return {
    id: row.id,
    name: row.name,
    role: row.role,
    status: row.status,
    publicKey: Buffer.from(row.public_key).toString('hex'),
    createdAt: row.created_at,
  }
}

function nameTaken(name: string): VestryError {
  return new VestryError('CONFLICT', `An operator named "${name}" exists`, {
    hint: 'Choose another name, or revoke that operator to free it.',
  })
}
