/**
 * The keychain of the operating system: macOS Keychain, Windows Credential Manager, on Linux the Secret Service of the
 * session's D-Bus (never the kernel's keyring, which forgets at the next boot). The module that speaks to it is
 * optional and loaded at first use.
 */
import { VestryError } from '@vestry/contract/errors'
import { assertLive, untilAborted, within } from '../deadline.ts'
import { type Keychain, SERVICE } from './keychain.ts'

/** A keychain may ask its user, who may not be there. */
const ANSWER_MS = 10_000

interface Entry {
  getPassword(): Promise<string | null>
  setPassword(text: string): Promise<void>
  deletePassword(): Promise<boolean>
}
type OpenEntry = (account: string) => Entry

export function nativeKeychain(): Keychain {
  let loading: Promise<OpenEntry> | undefined
  const ask = async <T>(
    account: string,
    signal: AbortSignal,
    question: (entry: Entry) => Promise<T>,
  ): Promise<T> => {
    loading ??= load()
    const open = await loading
    try {
      return await untilAborted(answer(open, account, question), within(signal, ANSWER_MS))
    } catch (error) {
      if (error instanceof VestryError) throw error
      assertLive(signal)
      throw notThere(error)
    }
  }
  return {
    get: async (account, signal) =>
      (await ask(account, signal, (entry) => entry.getPassword())) ?? undefined,
    set: (account, text, signal) => ask(account, signal, (entry) => entry.setPassword(text)),
    delete: (account, signal) => ask(account, signal, (entry) => entry.deletePassword()),
  }
}

/** Opening an entry may throw as well. */
async function answer<T>(
  open: OpenEntry,
  account: string,
  question: (entry: Entry) => Promise<T>,
): Promise<T> {
  return await question(open(account))
}

async function load(): Promise<OpenEntry> {
  try {
    const { AsyncEntry } = await import('@napi-rs/keyring')
    return (account) => new AsyncEntry(SERVICE, account, { linux: { store: 'secret-service' } })
  } catch (cause) {
    throw new VestryError(
      'BACKEND_UNAVAILABLE',
      'The module for the OS keychain is not installed',
      {
        hint: 'Install the optional package @napi-rs/keyring, or choose another back end.',
        cause,
      },
    )
  }
}

function notThere(cause: unknown): VestryError {
  return new VestryError('BACKEND_UNAVAILABLE', 'There is no OS keychain to be reached', {
    hint: 'On Linux it needs a D-Bus session with a Secret Service that is unlocked; on a host without one choose encrypted_file or vault.',
    cause,
  })
}
