/** An agent with worker threads, each with a library of its own, none with a socket. */
import { isMainThread, Worker } from 'node:worker_threads'
import { DEFAULTS, emitOne } from './agent-program.test-kit.ts'
import { createSink } from './create-sink.ts'

const sink = createSink(DEFAULTS)
for (let i = 1; i <= 10; i += 1) emitOne(sink, i)
if (isMainThread) {
  await Promise.all(
    [1, 2, 3].map(
      () => new Promise((resolve) => new Worker(new URL(import.meta.url)).once('exit', resolve)),
    ),
  )
}
