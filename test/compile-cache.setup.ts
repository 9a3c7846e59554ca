/** Programs that tests start again and again, our command above all, are compiled once and not every time. */
import { join, resolve } from 'node:path'

const PLACE = join(resolve(import.meta.dirname, '..'), 'node_modules', '.cache', 'compiled')

/** Vitest calls this before it starts its workers, which hand it on to what they start. */
export default function setup(): void {
  process.env['NODE_COMPILE_CACHE'] ??= PLACE
}
