/**
 * A thread's limits count its heap, and not its buffers; a few kilobytes of Flate become gigabytes in them. Here a
 * large buffer is refused before it is made.
 */
import { parentPort } from 'node:worker_threads'

/** Smaller ones are not looked at; there are many. */
const LOOK_FROM_BYTES = 1_024 * 1_024
const LOOK_EVERY_MS = 50

/**
 * For good, in this thread.
 * @param exceeded Called once; then the thread ends.
 */
export function boundBuffers(maxBytes: number, exceeded: () => void): void {
  const end = (): never => {
    exceeded()
    parentPort?.close()
    process.exit(1)
  }
  const held = (): number => process.memoryUsage().arrayBuffers
  globalThis.Uint8Array = new Proxy(Uint8Array, {
    construct: (target, args: readonly unknown[], self) => {
      const [size] = args
      if (typeof size === 'number' && size >= LOOK_FROM_BYTES && held() + size > maxBytes) end()
      return Reflect.construct(target, args, self)
    },
  })
  // What native code makes, stream by stream.
  setInterval(() => held() > maxBytes && end(), LOOK_EVERY_MS).unref()
}
