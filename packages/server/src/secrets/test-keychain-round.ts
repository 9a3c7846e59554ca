/** One round trip through the keychain of the session this runs in; prints what came of it. */
import { asVestryError } from '@vestry/contract/errors'
import { Secret } from '../seal/secret.ts'
import { KeychainBackend } from './keychain/keychain-backend.ts'
import { nativeKeychain } from './keychain/native-keychain.ts'

const backend = new KeychainBackend(nativeKeychain(), Date.now)
const { signal } = new AbortController()
const place = { agent: 'scout', name: 'db/password' }
const options = { description: undefined, createdBy: 'test', signal }
const steps: unknown[] = []
try {
  await backend.probe(signal, { create: true })
  for (const text of ['one', 'käse 🧀']) {
    using value = Secret.copy(Buffer.from(text))
    const { version } = await backend.put(place, value, options)
    const found = await backend.get(place, signal)
    using read = found?.value
    steps.push([version, read === undefined ? null : Buffer.from(read.bytes).toString('utf8')])
  }
  steps.push(await backend.list('scout', signal), await backend.owners(signal))
  steps.push(await backend.delete(place, signal), await backend.list('scout', signal))
} catch (error) {
  steps.push(asVestryError(error).code)
}
process.stdout.write(`${JSON.stringify(steps)}\n`)
