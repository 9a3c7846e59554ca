/** Ways to wrap: one function, several alike, methods, and what comes in pieces. */
import { coat } from '@vestry/coat'

/** At once, with or without options. */
export const double = coat('step', (n: number) => n * 2)
export const half = coat('step', { name: 'halve' }, (n: number) => n / 2)

/** A wrapper first, functions later. */
const tool = coat('tool', { attributes: { team: 'files' } })
export const exists = tool((path: string) => path !== '')
export const size = tool(async (path: string) => path.length)

/** A method, without decorators. */
export class Notes {
  #notes: string[] = []
  add = coat('memory.write', { name: 'Notes.add' }, (note: string) => this.#notes.push(note))
}

/** The span of a generator ends when the generator does, and its body is inside the span throughout. */
export const words = coat('llm', async function* words(text: string) {
  for (const word of text.split(' ')) yield word
})

/** The function inside a wrapper, for those who must not be told. */
export const silently = coat.unwrap(double)

export async function forms() {
  const spoken: string[] = []
  for await (const word of words('one two three')) spoken.push(word)
  const count = new Notes().add('remember')
  return [double(2), half(2), exists('x'), await size('abc'), count, spoken.length, silently(5)]
}

if (import.meta.main) console.log(JSON.stringify(await forms()))
