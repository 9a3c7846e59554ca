/** The baseline: the same framing, a JSON parse and a JSON answer, and nothing else. */
import { createServer } from 'node:net'
import { FrameSource } from '../packages/server/src/vault/wire/frame-source.ts'

const path = process.argv[2] ?? ''
createServer((socket) => {
  const source = new FrameSource()
  socket.on('error', () => socket.destroy())
  socket.on('data', (chunk: Buffer) => {
    source.push(chunk)
    for (;;) {
      const cut = source.next(4_194_304, true)
      if (cut.kind !== 'frame') return
      const { id, params } = JSON.parse(cut.body.toString('utf8')) as {
        id: number
        params: unknown
      }
      const text = JSON.stringify({ id, result: params })
      const size = Buffer.byteLength(text)
      const frame = Buffer.allocUnsafe(4 + size)
      frame.writeUInt32BE(size, 0)
      frame.write(text, 4)
      socket.write(frame)
    }
  })
}).listen(path, () => process.stdout.write('ready\n'))
