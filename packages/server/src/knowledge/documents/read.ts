/** One door for documents of every kind. What strangers may have made to be slow is read in threads that can be ended. */
import type { Document, DocumentSource } from '../document.ts'
import { assertSize, invalid, MAX_FILE_BYTES, MAX_PLAIN_BYTES } from './limits.ts'
import { readInThread } from './reader-threads.ts'
import { isTextDocument, readTextDocument } from './text-document.ts'

/** Text up to here is read in a few milliseconds, whatever it holds. */
const READ_HERE_BYTES = 32 * 1_024

/**
 * @throws VestryError DOCUMENT_INVALID for what is not what it says, or holds no text; REQUEST_TOO_LARGE, QUEUE_FULL;
 *   the signal's reason
 */
export async function readDocument(source: DocumentSource, signal: AbortSignal): Promise<Document> {
  signal.throwIfAborted()
  const isText = isTextDocument(source)
  assertSize(source.bytes.length, isText ? MAX_PLAIN_BYTES : MAX_FILE_BYTES, 'The document')
  const document =
    isText && source.bytes.length <= READ_HERE_BYTES
      ? readTextDocument(source)
      : await readInThread(source, signal)
  if (document.blocks.length === 0) throw invalid('holds no text')
  return document
}
