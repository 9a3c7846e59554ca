/**
 * First start: makes the vault, its first operator and the admin key, and leaves the vault sealed.
 * Runs under the instance lock, in `vestry init` and in `vestry up` on a fresh home.
 */
import { chmodSync, existsSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { VestryError } from '@vestry/contract/errors'
import { AgentStore } from '../identity/agent-store.ts'
import { FIRST_KEY_NAME } from '../identity/api-key.ts'
import { ApiKeyStore } from '../identity/api-key-store.ts'
import { writeKeyFiles } from '../identity/key-file.ts'
import { OperatorStore } from '../identity/operator-store.ts'
import { rowGuard } from '../identity/row-guard.ts'
import { DEFAULT_ROLE_POLICIES } from '../policy/gateway-templates.ts'
import { PolicyStore } from '../policy/policy-store.ts'
import type { InitResult } from '../seal/init.ts'
import { Seal } from '../seal/seal.ts'
import type { SlotSpec } from '../seal/slot.ts'
import type { UnsealSecret } from '../seal/unseal.ts'
import type { Store } from '../store/store.ts'
import { guardStore } from './guarded-store.ts'
import type { Home } from './home.ts'

export const FIRST_OPERATOR = 'owner'
/** Present once the first operator and key exist, and with them everything a start needs. */
const FINISHED_KEY = 'vault_finished_at'

export interface Initialised extends InitResult {
  readonly operatorKeyFile: string
  readonly adminKeyFile: string
}

/**
 * Whether the store holds the beginning of a vault whose making was cut short. Nothing was entrusted to it,
 * and its only operator key may not exist, so it is made again.
 */
export async function isUnfinished({ db }: Store): Promise<boolean> {
  const begun = await db.selectFrom('keyring').select('id').executeTakeFirst()
  const finished = await db
    .selectFrom('meta')
    .select('key')
    .where('key', '=', FINISHED_KEY)
    .executeTakeFirst()
  if (begun === undefined || finished !== undefined) return false
  const held = await db
    .selectFrom('credential')
    .select('path as name')
    .unionAll(db.selectFrom('agent').select('name'))
    .unionAll(db.selectFrom('policy').select('id as name'))
    .limit(1)
    .executeTakeFirst()
  return held === undefined
}

/** What a vault writes that is being made, or opened for the first time. */
const BEGINNING = [
  'api_key',
  'operator',
  'policy',
  'policy_set',
  'slot',
  'keyring',
  'run_key',
  'signing_key',
  'row_change',
] as const

/** Back to the empty store, without the key files that were written for it. */
async function discard({ home, store }: { home: Home; store: Store }): Promise<void> {
  await store.write(async (trx) => {
    for (const table of BEGINNING) await trx.deleteFrom(table).execute()
    await trx.deleteFrom('meta').where('key', '!=', 'generation').execute()
  })
  for (const file of [home.operatorKey, `${home.keys}/operator.pub`, home.adminKey])
    rmSync(file, { force: true })
}

/**
 * @param slots Borrowed secrets. The first slot that is not Shamir opens the vault for the set-up;
 *   with Shamir alone its shares do.
 * @throws VestryError CONFLICT when the store holds a vault already.
 */
export async function initialise(deps: {
  home: Home
  store: Store
  slots: readonly SlotSpec[]
  dev: boolean
  trustDomain: string
  /** The gateway's role policies go with a new vault. */
  defaultPolicies: boolean
  now: () => number
}): Promise<Initialised> {
  const { home, slots, dev, trustDomain, now } = deps
  makeHome(home)
  if (await isUnfinished(deps.store)) await discard(deps)
  for (const file of [home.operatorKey, home.adminKey]) {
    if (!existsSync(file)) continue
    throw new VestryError('CONFLICT', `${file} exists, but the store holds no vault`, {
      hint: 'Is this the right store? Otherwise move the key files away, or choose another --home',
    })
  }
  const openKeys = () => (seal.state === 'unsealed' ? seal.keys : undefined)
  const store = guardStore(deps.store, openKeys)
  await using seal: Seal = await Seal.open(store, { now })
  const made = await seal.init({ slots, dev })
  try {
    await openForSetUp(seal, slots, made)
    await store.adoptRows()
    const guard = rowGuard(() => seal.keys)
    const operators = new OperatorStore({ store, guard, now })
    using agents = new AgentStore({ store, guard, now, trustDomain })
    using apiKeys = new ApiKeyStore({ store, guard, agents, hashKey: () => seal.keys.hashKey, now })
    const { keyFile, publicKey } = await writeKeyFiles(home.keys, 'operator')
    await operators.add({ name: FIRST_OPERATOR, role: 'owner', publicKey })
    const { token } = await apiKeys.add({ name: FIRST_KEY_NAME, role: 'owner' })
    using key = token
    writeFileSync(home.adminKey, key.bytes, { mode: 0o600, flag: 'wx' })
    if (deps.defaultPolicies) {
      const policies = new PolicyStore({ store, ...guard, now, maxTtl: 0 })
      await policies.gateway.add([...DEFAULT_ROLE_POLICIES])
    }
    await store.write((trx) =>
      trx
        .insertInto('meta')
        .values({ key: FINISHED_KEY, value: String(now()) })
        .execute(),
    )
    return { ...made, operatorKeyFile: keyFile, adminKeyFile: home.adminKey }
  } catch (error) {
    for (const { shares } of made.shares) for (const share of shares) share[Symbol.dispose]()
    await discard(deps).catch(() => undefined) // else the next start finds it unfinished
    throw error
  } finally {
    await seal.seal('set-up done')
  }
}

async function openForSetUp(
  seal: Seal,
  slots: readonly SlotSpec[],
  made: InitResult,
): Promise<void> {
  for (const slot of slots) {
    const secret: UnsealSecret | undefined =
      slot.type === 'passphrase'
        ? { passphrase: slot.passphrase }
        : slot.type === 'keyfile'
          ? { keyfile: slot.keyfile }
          : undefined
    if (secret === undefined) continue
    await seal.unseal(secret)
    return
  }
  for (const share of made.shares[0]?.shares ?? []) {
    if ((await seal.unseal({ share: share.bytes })).state === 'unsealed') return
  }
}

/**
 * Directories of a home, private whatever the umask says.
 * @throws VestryError CONFIG_INVALID when one cannot be made.
 */
export function makeHome(home: Home): void {
  for (const dir of [home.dir, home.data, home.keys, home.run, home.audit]) {
    try {
      makeDirectory(dir)
    } catch (cause) {
      const { code = 'unknown' } = cause as NodeJS.ErrnoException
      throw new VestryError('CONFIG_INVALID', `the directory ${dir} cannot be made (${code})`, {
        hint: 'Choose another --home, or check who may write there',
        cause,
      })
    }
  }
}

/** Node's own recursion never ends where a parent exists and yet nothing can be made in it, as in /proc. */
function makeDirectory(dir: string): void {
  if (existsSync(dir) && statSync(dir).isDirectory()) return
  const parent = dirname(dir)
  if (parent !== dir && !existsSync(parent)) makeDirectory(parent)
  mkdirSync(dir, { mode: 0o700 })
  chmodSync(dir, 0o700)
}
