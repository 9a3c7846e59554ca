/**
 * Copies of borrowed secrets for the length of one action. Taken before the action first waits: a caller that
 * wipes its bytes as soon as it holds the promise must not leave a slot that opens with zeros.
 */
import type { Proof } from './proof.ts'
import { Secret } from './secret.ts'
import type { SlotSpec } from './slot.ts'
import type { UnsealSecret } from './unseal.ts'

export class Copies implements Disposable {
  readonly #stack = new DisposableStack()

  bytes(borrowed: Uint8Array): Uint8Array {
    return this.#stack.use(Secret.copy(borrowed)).bytes
  }

  proof(proof: Proof): Proof {
    if ('passphrase' in proof) return { passphrase: this.bytes(proof.passphrase) }
    if ('keyfile' in proof) return { keyfile: this.bytes(proof.keyfile) }
    return { shares: proof.shares.map((share) => this.bytes(share)) }
  }

  secret(secret: UnsealSecret): UnsealSecret {
    if ('passphrase' in secret) return { passphrase: this.bytes(secret.passphrase) }
    if ('share' in secret) return { share: this.bytes(secret.share) }
    const keyfile = this.bytes(secret.keyfile)
    return secret.previous === undefined
      ? { keyfile }
      : { keyfile, previous: this.bytes(secret.previous) }
  }

  spec(spec: SlotSpec): SlotSpec {
    switch (spec.type) {
      case 'passphrase':
        return { ...spec, passphrase: this.bytes(spec.passphrase) }
      case 'keyfile':
        return { ...spec, keyfile: this.bytes(spec.keyfile) }
      case 'shamir':
        return spec
    }
  }

  /** Wipes the copies when the action has ended, either way. */
  async until<T>(action: Promise<T>): Promise<T> {
    try {
      return await action
    } finally {
      this[Symbol.dispose]()
    }
  }

  [Symbol.dispose](): void {
    this.#stack.dispose()
  }
}
