/** A process that is killed while it writes: secrets into a file, one after the other, each told when it is safe. */
import { Secret } from '../seal/secret.ts'
import { FileBackend } from './file/file-backend.ts'

const [path = '', key = '', first = '0'] = process.argv.slice(2)
const backend = new FileBackend({
  path,
  key: async () => Secret.copy(Buffer.from(key)),
  backups: 1,
  importAgent: undefined,
  now: Date.now,
})
const { signal } = new AbortController()
await backend.probe(signal, { create: true })
process.send?.('ready')
for (let at = Number(first); ; at += 1) {
  using value = Secret.copy(Buffer.from(`value ${at} ${'x'.repeat(2_000)}`))
  const place = { agent: 'scout', name: `n${at % 20}` }
  await backend.put(place, value, { description: String(at), createdBy: 'test', signal })
  process.send?.(at)
}
