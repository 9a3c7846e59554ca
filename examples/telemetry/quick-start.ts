/**
 * The quick start: three functions that tell what they do. Outside a pod each event is one line on
 * stderr. `node examples/telemetry/quick-start.ts`
 */
import { mkdtemp, writeFile as write } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { coat, Op, tie } from '@vestry/coat'

/** Stands for a provider's client: answers like one, without a network. */
const client = {
  messages: {
    async create(request: { model: string; messages: { role: string; content: string }[] }) {
      const { model, messages } = request
      return {
        id: 'msg_example',
        type: 'message',
        role: 'assistant',
        model,
        content: [{ type: 'text', text: `// ${messages.at(-1)?.content}\n` }],
        stop_reason: 'end_turn',
        usage: { input_tokens: 12, output_tokens: 7 },
      }
    },
  },
}

const askModel = coat(
  Op.LLM,
  async function askModel(messages: { role: string; content: string }[]) {
    return client.messages.create({ model: 'claude-sonnet-4-6', messages })
  },
)

const writeFile = coat('tool', async function writeFile(path: string, content: string) {
  await write(path, content)
})

const processBatch = coat('tool', function processBatch(rows: readonly number[]) {
  let sum = 0
  for (const [i, batch] of chunk(rows, 100).entries()) {
    sum += batch.reduce((total, row) => total + row, 0)
    tie('batch', { i, size: batch.length })
  }
  return sum
})

export async function quickStart() {
  const response = await askModel([{ role: 'user', content: 'refactor main.ts' }])
  const path = join(await mkdtemp(join(tmpdir(), 'coat-')), 'main.ts')
  await writeFile(path, response.content[0]?.text ?? '')
  const sum = processBatch(Array.from({ length: 250 }, (_, row) => row))
  return { path, sum }
}

function chunk<T>(rows: readonly T[], size: number): T[][] {
  const batches: T[][] = []
  for (let at = 0; at < rows.length; at += size) batches.push(rows.slice(at, at + size))
  return batches
}

if (import.meta.main) console.log(await quickStart())
