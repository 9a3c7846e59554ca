/**
 * Memory for young objects. Start-up reads two thousand modules, which V8 takes for a busy program: it makes this space
 * as large as it gets, and an idle daemon never gives that back. So it stays as it is until the daemon is up.
 */
import { setFlagsFromString } from 'node:v8'

/** What V8 does unless told. */
const USUAL_GROWTH = 2

export function holdYoungMemory(): Disposable {
  setFlagsFromString('--semi-space-growth-factor=1')
  return {
    [Symbol.dispose]: () => setFlagsFromString(`--semi-space-growth-factor=${USUAL_GROWTH}`),
  }
}
