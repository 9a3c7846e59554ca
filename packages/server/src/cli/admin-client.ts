/** The operators' wire from this side: connect, log in with the operator key, call verbs. */
import { setTimeout as sleep } from 'node:timers/promises'
import { VestryError } from '@vestry/contract/errors'
import {
  type CallOptions,
  type Message,
  RateLimited,
  RpcConnection,
  VaultError,
} from '@vestry/sdk/vault'
import { readKeyFile } from '../identity/key-file.ts'

export interface AdminAddress {
  socket: string
  operator: string
  keyFile: string
}

/** The daemon gives a verb two minutes; silence beyond that is a dead daemon. */
const CALL_TIMEOUT_MS = 150_000
/** A script that runs many commands meets the limit on logins; waiting it out is what it would do itself. */
const LOGIN_PATIENCE_MS = 10_000

export class AdminClient implements AsyncDisposable {
  readonly #connection: RpcConnection

  private constructor(connection: RpcConnection) {
    this.#connection = connection
  }

  /** Without a login: for `status` and `admin.unseal`. @throws VestryError `DAEMON_UNREACHABLE` */
  static async connect(socket: string, signal?: AbortSignal): Promise<AdminClient> {
    try {
      return new AdminClient(await RpcConnection.open(socket, { signal }))
    } catch (error) {
      throw error instanceof VaultError && error.code === 'DAEMON_UNREACHABLE'
        ? unreachable(socket, error)
        : error
    }
  }

  /**
   * @throws VaultError `VAULT_LOCKED`, `AUTH_FAILED`
   * @throws VestryError `DAEMON_UNREACHABLE`; `AUTH_FAILED` when there is no key to log in with.
   */
  static async open(address: AdminAddress, signal?: AbortSignal): Promise<AdminClient> {
    // First the socket: when nothing answers, a missing key is not what is wrong.
    const client = await AdminClient.connect(address.socket, signal)
    try {
      await client.#logIn(address, signal)
      return client
    } catch (error) {
      await client[Symbol.asyncDispose]()
      throw error
    }
  }

  call(method: string, params: Message = {}, options: CallOptions = {}): Promise<Message> {
    return this.#connection.call(method, params, { timeoutMs: CALL_TIMEOUT_MS, ...options })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection.close()
  }

  async #logIn({ operator, keyFile }: AdminAddress, signal?: AbortSignal): Promise<void> {
    const key = await readKeyFile(keyFile).catch((cause: unknown) => {
      if (cause instanceof VestryError && cause.code !== 'NOT_FOUND') throw cause
      throw new VestryError('AUTH_FAILED', `there is no operator key at ${keyFile}`, {
        hint: 'Give the --home the daemon uses, or the key with --operator-key FILE',
        cause,
      })
    })
    using seed = key.seed
    const deadline = performance.now() + LOGIN_PATIENCE_MS
    for (;;) {
      try {
        await this.#connection.authenticate(operator, seed.bytes, { signal })
        return
      } catch (error) {
        const waitMs = error instanceof RateLimited ? error.retryAfterMs : undefined
        if (waitMs === undefined || performance.now() + waitMs > deadline) throw error
        await sleep(waitMs, undefined, { signal })
      }
    }
  }
}

/** In the words of who runs commands: they think of a home, not of a socket. */
function unreachable(socket: string, error: VaultError): VestryError {
  const { cause } = error
  if (cause instanceof Error && 'code' in cause && cause.code === 'EACCES') {
    return new VestryError('DAEMON_UNREACHABLE', `${socket} may not be opened`, {
      hint: 'Run this as the user that the daemon runs as',
      cause,
    })
  }
  return new VestryError('DAEMON_UNREACHABLE', `no daemon answers at ${socket}`, {
    hint: 'Start it with "vestry up", or name the home of the one that runs with --home',
    cause: error,
  })
}
