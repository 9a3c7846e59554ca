/**
 * A daemon in a process of its own, for tests that kill it, dump its memory or send it signals. Its whole life
 * goes over the IPC channel: `{ready}` when it is open; then `{gc}`, `{snapshot: FILE}`, `{scan: [hex…]}`,
 * `{seal}` and `{stop}` are answered with what came of them.
 */
import { openSync, readFileSync, readSync } from 'node:fs'
import { writeHeapSnapshot } from 'node:v8'
import { loadConfig } from '../../packages/server/src/app/config.ts'
import { startDaemon } from '../../packages/server/src/app/daemon.ts'
import { homeAt } from '../../packages/server/src/app/home.ts'
import { Secret } from '../../packages/server/src/seal/secret.ts'

const [dir, passphraseFile] = process.argv.slice(2)
const home = homeAt(dir, {})
const passphrase =
  passphraseFile === undefined ? undefined : Secret.own(readUnpooled(passphraseFile))
const daemon = await startDaemon({
  home,
  config: loadConfig(home.config, {}),
  env: {},
  execArgv: [],
  dev: passphrase === undefined,
  insecureDev: false,
  acceptRollback: false,
  storeUrl: undefined,
  port: 0,
  passphrase,
  warn: () => undefined,
})
passphrase?.[Symbol.dispose]()
process.on('SIGUSR2', () => daemon.seal('signal'))
process.on('message', async (ask) => {
  switch (ask.do) {
    case 'seal':
      await daemon.seal('test')
      break
    case 'snapshot':
      collect()
      writeHeapSnapshot(ask.file)
      break
    case 'scan':
      collect()
      process.send({ id: ask.id, found: scan(ask.needles) })
      return
    case 'stop':
      await daemon.stop()
      process.send({ id: ask.id }, () => process.exit(0))
      return
  }
  process.send({ id: ask.id })
})
process.send({ ready: daemon.ready })

function collect() {
  for (let round = 0; round < 4; round += 1) globalThis.gc?.()
}

function readUnpooled(file) {
  const bytes = readFileSync(file)
  const own = new Uint8Array(new ArrayBuffer(bytes.length))
  own.set(bytes)
  bytes.fill(0)
  return own
}

/** Looks for bytes in all writable memory of this process. @returns how often each was found. */
function scan(needles) {
  // Needles come inverted, so that asking for them does not put them there.
  const wanted = needles.map((hex) => {
    const bytes = Buffer.from(hex, 'hex')
    return { first: bytes[0] ^ 255, inverted: bytes }
  })
  const counts = wanted.map(() => 0)
  const memory = openSync('/proc/self/mem', 'r')
  const chunk = Buffer.alloc(1 << 20)
  for (const line of readFileSync('/proc/self/maps', 'latin1').split('\n')) {
    const [range, rights] = line.split(' ')
    if (rights === undefined || !rights.startsWith('rw') || line.includes('[v')) continue
    const [start, end] = range.split('-').map((hex) => Number.parseInt(hex, 16))
    for (let at = start; at < end; at += chunk.length - 64) {
      let size = 0
      try {
        size = readSync(memory, chunk, 0, Math.min(chunk.length, end - at), at)
      } catch {
        break
      }
      wanted.forEach(({ first, inverted }, index) => {
        for (let hit = chunk.indexOf(first, 0); hit !== -1 && hit < size; ) {
          let matched = 1
          while (matched < inverted.length && chunk[hit + matched] === (inverted[matched] ^ 255))
            matched += 1
          if (matched === inverted.length && hit + matched <= size) counts[index] += 1
          hit = chunk.indexOf(first, hit + 1)
        }
      })
    }
  }
  chunk.fill(0)
  return counts
}
