/** What is told, and how much of it: options of one function, and settings of the process. */
import { coat, configure, Op, tie } from '@vestry/coat'

// Nothing ever tells more than redacted text, whatever the environment of this process asks for.
configure({ maxCapture: 'redacted', redactKeys: ['badge'] })

/** Its arguments and its result are told, redacted; so are two of its variables, as they are at its end. */
export const plan = coat('plan', { autoCapture: true, previewLen: 80 }, async (goal: string) => {
  let steps = 0
  let last: string | undefined
  tie.scope(() => ({ steps, last }))
  for (const step of ['read', 'think', 'write']) {
    steps += 1
    last = step
    await Promise.resolve()
  }
  return { goal, steps }
})

/** Says what it read without telling any of it. */
export const search = coat(
  Op.MEMORY_READ,
  {
    name: 'searchNotes',
    argNames: ['query', 'limit'],
    describe: {
      start: ([, limit]) => ({ store: 'notes', top_k: limit }),
      end: (found) => ({ count: (found as string[]).length }),
    },
    attributes: { team: 'research' },
  },
  async (query: string, limit: number) => [`${query} 1`, `${query} 2`].slice(0, limit),
)

/** The same wrapper for all functions of a table. */
export const tools = {
  add: coat('tool', (a: number, b: number) => a + b),
  upper: coat('tool', { output: (text) => String(text).length }, (text: string) =>
    text.toUpperCase(),
  ),
}

if (import.meta.main) {
  await plan('tidy up')
  await search('invoices', 1)
  console.log(tools.add(1, 2), tools.upper('done'))
}
