/** One service of the operating system's keychain, as the back end needs it: texts by account. */

export interface Keychain {
  get(account: string, signal: AbortSignal): Promise<string | undefined>
  set(account: string, text: string, signal: AbortSignal): Promise<void>
  /** @returns Whether there was one. */
  delete(account: string, signal: AbortSignal): Promise<boolean>
}

export const SERVICE = 'symbiont'
/** Of the key of an encrypted file. In no agent's name and no index. */
export const FILE_KEY_ACCOUNT = '.file-key'
