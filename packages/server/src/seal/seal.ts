/**
 * The seal: whether the vault's keys are in memory, and the only way to get them there.
 * `uninitialized → sealed ⇄ unsealed`. What it learns it keeps in the store, whole or not at all.
 * Secrets given to it are copied before it first waits; the caller may wipe its own at once.
 * @see wire contract §16
 */
import type { KeyObject } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { inspect } from 'node:util'
import { VestryError } from '@vestry/contract/errors'
import { AttemptLimit } from './attempts.ts'
import { Copies } from './copies.ts'
import { KEY_BYTES } from './gcm.ts'
import { type VaultHeader, writeHeader } from './header.ts'
import { createVault, type InitOptions, type InitResult, restoreVault } from './init.ts'
import { defaultCost, type KdfCost, Stretcher } from './kdf.ts'
import { newTermEntry, type OpenKeyring, signingEntry } from './keyring.ts'
import { nonceBudget } from './nonce-budget.ts'
import { OpenSeal } from './open-seal.ts'
import type { Opened, Proof } from './proof.ts'
import { attempt, requireStored, type SealContext } from './seal-context.ts'
import { loadSeal, readSlot, type SealStore, type StoredSeal } from './seal-store.ts'
import { type Random, randomUnpooled, Secret } from './secret.ts'
import { ShareCollector, type ShareProgress } from './share-collector.ts'
import type { SlotSpec } from './slot.ts'
import * as slotAdmin from './slot-admin.ts'
import { openWithSecret, retirePrevious, type UnsealSecret } from './unseal.ts'
import { reservedWraps } from './wrap-budget.ts'

/** In-flight work may finish this long after sealing began. */
const GRACE_MS = 1_000
const TERM_AGE_MS = 365 * 24 * 3_600_000
const SIGNING_NAME = /^[a-z0-9][a-z0-9._/-]{0,99}$/

export type SealState = 'uninitialized' | 'sealed' | 'unsealed'
export type SealListener = (reason: string) => void | Promise<void>

export interface UnsealResult {
  state: SealState
  /** While shares are still missing. */
  progress?: ShareProgress
  /** Attempts that failed since the last success. */
  failedBefore?: number
  /** Set when only the previous key file opened a slot: whether that slot now opens with the current one. */
  keyfileReplaced?: boolean
}

export interface TermStatus {
  term: number
  /** Epoch milliseconds. */
  createdAt: number
  /** Data keys wrapped under it, counted high. */
  wraps: number
  /** Time for {@link Seal.rotateTerm}: 365 days or 2^31 wraps. */
  due: boolean
}

export interface SealOptions {
  /** Epoch milliseconds. */
  now?: () => number
  random?: Random
  /** Cost of new passphrase slots; existing ones carry their own. */
  cost?: KdfCost
}

export class Seal implements AsyncDisposable {
  readonly #context: SealContext
  readonly #shares: ShareCollector
  readonly #listeners = new Set<SealListener>()
  readonly #stopWatching: () => void
  #sealOrder: (reason: string) => Promise<unknown> = (reason) => this.seal(reason)
  #initialized: boolean
  #open: OpenSeal | undefined
  /** While the keys are on their way out. */
  #closing: { open: OpenSeal; done: Promise<unknown[]> } | undefined
  /** Raised by every order to seal, so that an unseal that began before cannot undo it. */
  #orders = 0
  /** Changes to the seal follow each other. */
  #turn: Promise<unknown> = Promise.resolve()

  private constructor(context: SealContext, initialized: boolean) {
    this.#context = context
    this.#shares = new ShareCollector(context.now)
    this.#initialized = initialized
    this.#stopWatching = context.store.onChange((tables) => {
      if (tables.includes('keyring')) void this.#look()
    })
  }

  /** Starts sealed, or uninitialised when the store holds no vault. */
  static async open(store: SealStore, options: SealOptions = {}): Promise<Seal> {
    const { now = Date.now, random = randomUnpooled, cost = defaultCost() } = options
    const attempts = new AttemptLimit(now)
    const context = { store, now, random, cost, attempts, stretcher: new Stretcher() }
    return new Seal(context, (await loadSeal(store.db)) !== undefined)
  }

  get state(): SealState {
    if (this.#open !== undefined) return 'unsealed'
    return this.#initialized ? 'sealed' : 'uninitialized'
  }

  /** The same object from unsealing to sealing. @throws VestryError `VAULT_LOCKED` or `NOT_INITIALIZED` */
  get keys(): OpenKeyring {
    return this.#requireOpen().keyring
  }

  /** Attempts to unseal that failed since the last that did not. */
  get failedAttempts(): number {
    return this.#context.attempts.failed
  }

  /** Shares entered so far, per split. */
  shamirProgress(): ShareProgress[] {
    return this.#shares.progress()
  }

  /** Wipes the shares entered so far. */
  resetShares(): void {
    this.#shares.reset()
  }

  /** Makes a new vault and leaves it sealed. @throws as {@link createVault} */
  init(options: InitOptions): Promise<InitResult> {
    const own = new Copies()
    const mine = { ...options, slots: options.slots.map((spec) => own.spec(spec)) }
    const making = this.#inTurn(async () => {
      const made = await createVault(this.#context, mine)
      this.#initialized = true
      return made
    })
    return own.until(making)
  }

  /**
   * @returns `sealed` with progress while shares are missing, else `unsealed`; also when it was already.
   * @throws VestryError `UNSEAL_FAILED` for a wrong secret, without saying which part; `RATE_LIMITED`;
   *   `NOT_INITIALIZED`; `VAULT_LOCKED` when an order to seal came meanwhile; `SEAL_BROKEN` when the secret
   *   was right and the keyring was altered.
   */
  async unseal(secret: UnsealSecret): Promise<UnsealResult> {
    using own = new Copies()
    const mine = own.secret(secret)
    const orders = this.#orders
    await this.#closing?.done
    if (this.#open !== undefined) return { state: 'unsealed' }
    const stored = await requireStored(this.#context)
    this.#initialized = true
    const { attempts } = this.#context
    const failedBefore = attempts.failed
    const result = await attempt(attempts, async (running): Promise<UnsealResult> => {
      const shown = await openWithSecret(this.#context, stored, mine, this.#shares)
      if ('need' in shown) {
        running.withdraw() // a good share is no failure, and no success either
        return { state: this.state, progress: shown }
      }
      using opened = shown
      this.#adopt(stored, opened, orders)
      const replaced = await this.#inTurn(() => retirePrevious(this.#context, stored, opened, mine))
      return { state: this.state, failedBefore, ...replaced }
    })
    if (result.progress === undefined) await this.#look()
    return { ...result, state: this.state }
  }

  /**
   * Refuses new work at once, tells the listeners, gives them a second and wipes the keys, whatever happens.
   *
   * @param immediately Wipes first; work in flight fails.
   * @returns What the listeners threw, and `TIMEOUT` when they took too long.
   */
  async seal(reason = 'requested', { immediately = false } = {}): Promise<unknown[]> {
    this.#orders += 1
    this.#shares.reset()
    const open = this.#open
    this.#open = undefined
    if (immediately) (open ?? this.#closing?.open)?.wipe()
    if (open !== undefined) this.#closing = { open, done: this.#close(open, reason) }
    return (await this.#closing?.done) ?? []
  }

  /**
   * @param listener Called once per sealing, while the keys it holds still work.
   * @returns the way to stop.
   */
  onSeal(listener: SealListener): () => void {
    const own: SealListener = (reason) => listener(reason)
    this.#listeners.add(own)
    return () => void this.#listeners.delete(own)
  }

  /**
   * @param order Seals when the seal itself finds that its keys are of yesterday: whoever holds more than keys
   *   clears that away with them.
   */
  sealThrough(order: (reason: string) => Promise<unknown>): void {
    this.#sealOrder = order
  }

  async listSlots(): Promise<slotAdmin.SlotInfo[]> {
    return slotAdmin.describeSlots(await requireStored(this.#context))
  }

  /** @param proof An unseal secret that works already. @throws as {@link slotAdmin.addSlot} */
  addSlot(spec: SlotSpec, proof: Proof): Promise<slotAdmin.AddedSlot> {
    const own = new Copies()
    const mine = { spec: own.spec(spec), proof: own.proof(proof) }
    return own.until(this.#inTurn(() => slotAdmin.addSlot(this.#context, mine.spec, mine.proof)))
  }

  /** @throws VestryError `VAULT_LOCKED` while sealed without a proof, and as {@link slotAdmin.removeSlot} */
  removeSlot(id: string, proof?: Proof): Promise<{ generation: number }> {
    const own = new Copies()
    const mine = proof && own.proof(proof)
    const removing = this.#inTurn(() => {
      if (mine === undefined) this.#requireOpen()
      return slotAdmin.removeSlot(this.#context, id, mine)
    })
    return own.until(removing)
  }

  /** Touches the one slot that `current` opens, nothing else. @throws as {@link slotAdmin.changePassphrase} */
  changePassphrase(current: Uint8Array, next: Uint8Array): Promise<slotAdmin.AddedSlot> {
    const own = new Copies()
    const [old, fresh] = [own.bytes(current), own.bytes(next)]
    return own.until(this.#inTurn(() => slotAdmin.changePassphrase(this.#context, old, fresh)))
  }

  /**
   * A new root key around the same keyring; slots without a proof are dropped.
   * @throws as {@link slotAdmin.rotateRoot}
   */
  rotateRoot(proofs: readonly Proof[]): Promise<slotAdmin.RootRotation> {
    const own = new Copies()
    const mine = proofs.map((proof) => own.proof(proof))
    const rotating = this.#inTurn(async () => {
      const { root, nonce, ...report } = await slotAdmin.rotateRoot(this.#context, mine)
      this.#open?.replaceRoot(root.bytes, nonce)
      root[Symbol.dispose]()
      return report
    })
    return own.until(rotating)
  }

  /**
   * A new term key; the old ones stay for reading. Afterwards `rewrapAll` of rewrap.ts moves the records, at
   * once or after a restart.
   */
  rotateTerm(): Promise<{ term: number; generation: number }> {
    return this.#inTurn(async () => {
      const { now, random } = this.#context
      const open = this.#requireOpen()
      const generation = await open.extend(({ term }) => newTermEntry(term + 1, now(), random))
      return { term: open.keyring.term, generation }
    })
  }

  async termStatus(): Promise<TermStatus> {
    const { term, termCreatedAt: createdAt } = this.keys
    const wraps = await reservedWraps(this.#context.store, term)
    const old = this.#context.now() - createdAt >= TERM_AGE_MS
    return { term, createdAt, wraps, due: old || nonceBudget(wraps) !== 'fine' }
  }

  /**
   * A secret for signing, made on first use and sealed with the other keys; every node gets the same one.
   *
   * @param name Lower case, e.g. `gateway/token`.
   * @param create Makes it, 32 random bytes unless given; its result is taken over.
   * @returns A secret key; `export()` gives the bytes that `create` made.
   */
  signingSecret(
    name: string,
    create: () => Secret = () => Secret.own(this.#context.random(KEY_BYTES)),
  ): Promise<KeyObject> {
    return this.#inTurn(async () => {
      if (!SIGNING_NAME.test(name))
        throw new VestryError('INVALID_PARAMS', `"${name}" cannot name a signing secret`)
      const open = this.#requireOpen()
      const add = (keyring: OpenKeyring) =>
        keyring.hasSigningSecret(name)
          ? undefined
          : signingEntry(name, create(), this.#context.now())
      if (!open.keyring.hasSigningSecret(name)) await open.extend(add)
      return open.keyring.signingSecret(name)
    })
  }

  /** Slots and sealed keyring in clear JSON, for a backup. Nothing in it opens without an unseal secret. */
  async exportHeader(): Promise<VaultHeader> {
    const stored = await requireStored(this.#context)
    return writeHeader({ ...stored, slots: stored.slots.map(readSlot) })
  }

  /**
   * Takes over the header of a backup into an empty store, and leaves it sealed.
   * @throws as {@link restoreVault}
   */
  importHeader(header: unknown, proof: Proof): Promise<{ vaultId: string; generation: number }> {
    const own = new Copies()
    const mine = own.proof(proof)
    const restoring = this.#inTurn(async () => {
      const restored = await restoreVault(this.#context, header, mine)
      this.#initialized = true
      return restored
    })
    return own.until(restoring)
  }

  /** Looks at the store again: another node may have made the vault, added keys or replaced the root key. */
  refresh(): Promise<void> {
    return this.#inTurn(async () => {
      const stored = await loadSeal(this.#context.store.db)
      if (stored === undefined) return
      this.#initialized = true
      try {
        this.#open?.refresh(stored)
      } catch {
        // Sealed when this returns. What is cleared away after that may be waiting for its turn here.
        void this.#sealOrder('the keyring no longer opens with the root key in use').catch(
          () => undefined,
        )
      }
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopWatching()
    await this.seal('shutdown')
  }

  [inspect.custom](): string {
    return `[seal: ${this.state}]`
  }

  #requireOpen(): OpenSeal {
    if (this.#open !== undefined) return this.#open
    if (!this.#initialized)
      throw new VestryError('NOT_INITIALIZED', undefined, { hint: 'Run: vestry init' })
    throw new VestryError('VAULT_LOCKED', undefined, { hint: 'Run: vestry unseal' })
  }

  #adopt(stored: StoredSeal, opened: Opened, orders: number): void {
    if (this.#orders !== orders) throw new VestryError('VAULT_LOCKED')
    this.#open ??= new OpenSeal(this.#context, stored, opened.root.bytes)
    this.#shares.reset()
  }

  /** A look that fails changes nothing: at worst a record of a new term does not open until the next. */
  async #look(): Promise<void> {
    try {
      await this.refresh()
    } catch {
      // The store says so itself, to whoever needs it next.
    }
  }

  async #close(open: OpenSeal, reason: string): Promise<unknown[]> {
    const ended = new AbortController()
    try {
      const told = [...this.#listeners].map(async (listener) => listener(reason))
      const late = delay(GRACE_MS, undefined, { signal: ended.signal })
      const results = await Promise.race([Promise.allSettled(told), late])
      const failures = results?.filter((result) => result.status === 'rejected')
      return failures?.map(({ reason: cause }) => cause) ?? [new VestryError('TIMEOUT')]
    } finally {
      ended.abort()
      open.wipe()
      this.#closing = undefined
    }
  }

  #inTurn<T>(fn: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(fn)
    this.#turn = mine.catch(() => undefined)
    return mine
  }
}
