/** The thread that owns the index file. */
import { parentPort } from 'node:worker_threads'
import { IndexFile } from './index-file.ts'
import type { Candidate, IndexCall, IndexReply, IndexRequest } from './index-query.ts'

let file: IndexFile | undefined

function opened(): IndexFile {
  if (file === undefined) throw new Error('the index is not open')
  return file
}

function answer(request: IndexRequest): readonly Candidate[] {
  switch (request.op) {
    case 'open':
      file?.[Symbol.dispose]()
      file = IndexFile.open(request.path, request.lineage)
      return []
    case 'apply':
      opened().apply(request.items, request.revision)
      return []
    case 'search':
      return opened().search(request.query)
    default:
      request satisfies never
      return []
  }
}

parentPort?.on('message', ({ id, request }: IndexCall) => {
  let candidates: readonly Candidate[] = []
  let error: string | undefined
  try {
    candidates = answer(request)
  } catch (thrown) {
    error = String(thrown)
  }
  const reply: IndexReply = { id, revision: file?.revision ?? 0, candidates, error }
  parentPort?.postMessage(reply)
})
