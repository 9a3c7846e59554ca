/** The far end of `reader-threads.ts`: reads one document after another, in a thread that can be ended at any time. */
import { parentPort } from 'node:worker_threads'
import { asVestryError, VestryError } from '@vestry/contract/errors'
import type { Document, DocumentSource } from '../document.ts'
import type { ThreadAnswer } from '../threads.ts'
import { readHtml } from './html.ts'
import { boundBuffers } from './memory-bound.ts'
import { isTextDocument, readTextDocument } from './text-document.ts'

/** Of what lies outside of the thread's heap, which its limits do not count. */
const MAX_BUFFER_BYTES = 192 * 1_024 * 1_024

boundBuffers(MAX_BUFFER_BYTES, () => {
  const message = 'Reading the document takes too much memory'
  const error = { code: 'DOCUMENT_INVALID', message } as const
  parentPort?.postMessage({ error, last: true } satisfies Answer)
})

type Answer = ThreadAnswer<Document>

parentPort?.on('message', async (source: DocumentSource) => {
  parentPort?.postMessage(await answer(source))
})

async function answer(source: DocumentSource): Promise<Answer> {
  try {
    if (isTextDocument(source)) return { result: readTextDocument(source) }
    if (source.mediaType === 'text/html') return { result: readHtml(source.bytes) }
    // Loaded for the first PDF only: it is large.
    const { readPdf } = await import('./pdf.ts')
    return { result: await readPdf(source.bytes) }
  } catch (error) {
    const { code, message } =
      error instanceof VestryError
        ? asVestryError(error)
        : { code: 'DOCUMENT_INVALID' as const, message: 'The document cannot be read' }
    return { error: { code, message } }
  }
}
