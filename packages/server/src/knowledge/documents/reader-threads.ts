/** Reads documents in threads: what was made to be slow or to use up memory costs a thread, and nobody waits. */
import { extname, join } from 'node:path'
import { VestryError } from '@vestry/contract/errors'
import type { Document, DocumentSource } from '../document.ts'
import { type ThreadLimits, Threads } from '../threads.ts'

const SCRIPT = join(import.meta.dirname, `reader-worker${extname(import.meta.filename)}`)

const LIMITS: ThreadLimits = {
  threads: 2,
  timeoutMs: 20_000,
  idleMs: 10_000,
  heapMb: 256,
  waiting: 64,
}

/** @param limits For tests; beside the usual ones. */
export function readerThreads(
  limits: Partial<ThreadLimits> = {},
): Threads<DocumentSource, Document> {
  return new Threads({
    name: 'document reader',
    script: SCRIPT,
    limits: { ...LIMITS, ...limits },
    endOnAbort: true,
    broken: (problem, cause) =>
      new VestryError('DOCUMENT_INVALID', `Reading the document ${problem}`, {
        hint: 'Export it anew, or add its text.',
        ...(cause !== undefined && { cause }),
      }),
  })
}

const THREADS = readerThreads()

/** Threads begin with the first document, and end by themselves. */
export function readInThread(source: DocumentSource, signal: AbortSignal): Promise<Document> {
  return THREADS.run(source, signal)
}
