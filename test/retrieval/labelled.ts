/** The labelled set for retrieval: real documents in a fixed state, and who judged which section of them relevant. */
import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { chunkDocument } from '../../packages/server/src/knowledge/documents/chunk.ts'
import { readDocument } from '../../packages/server/src/knowledge/documents/read.ts'

const CORPUS = join(import.meta.dirname, 'corpus')
const GRADE = /([\w-]+#.+?)=([12])(?: |$)/g
const BETWEEN_HEADINGS = ' › '

export interface LabelledQuery {
  readonly query: string
  /** By section, `audit#Verifying`: 2 answers it, 1 helps. */
  readonly grades: ReadonlyMap<string, number>
}

export interface LabelledPassage {
  /** Of the corpus, in order. */
  readonly id: string
  /** The file and the last heading. */
  readonly section: string
  readonly heading: string
  readonly text: string
}

export function labelledQueries(): LabelledQuery[] {
  const lines = readFileSync(join(import.meta.dirname, 'queries.txt'), 'utf8')
    .trim()
    .split('\n')
  return lines
    .filter((line) => !line.startsWith('#'))
    .map((line) => {
      const at = line.lastIndexOf(' | ')
      const grades = [...line.slice(at + 3).matchAll(GRADE)]
      return {
        query: line.slice(0, at),
        grades: new Map(grades.map(([, section = '', grade]) => [section, Number(grade)])),
      }
    })
}

/** The text of each document of the corpus, by name without extension. */
export function corpusFiles(): { readonly name: string; readonly bytes: Uint8Array }[] {
  return readdirSync(CORPUS)
    .sort()
    .map((file) => ({ name: basename(file, '.md'), bytes: readFileSync(join(CORPUS, file)) }))
}

export async function labelledPassages(): Promise<LabelledPassage[]> {
  const passages: LabelledPassage[] = []
  for (const { name, bytes } of corpusFiles()) {
    const source = { bytes, mediaType: 'text/markdown' } as const
    const document = await readDocument(source, AbortSignal.timeout(10_000))
    for (const [at, { heading, text }] of chunkDocument(document).entries())
      passages.push({ id: `${name}/${at}`, section: sectionOf(name, heading), heading, text })
  }
  return passages
}

/** As judgements name it: marks of code stay out of both. */
export function sectionOf(name: string, heading: string): string {
  return plainSection(`${name}#${heading.split(BETWEEN_HEADINGS).at(-1)}`)
}

export function plainSection(section: string): string {
  return section.replaceAll('`', '')
}

/**
 * nDCG@10 over sections: of several passages of one section only the first counts, since one is enough to find it.
 * @param ranked Sections of the passages that were found, best first.
 */
export function ndcg10(ranked: readonly string[], { grades }: LabelledQuery): number {
  const plain = new Map([...grades].map(([section, grade]) => [plainSection(section), grade]))
  const found = [...new Set(ranked)].slice(0, 10).map((section) => plain.get(section) ?? 0)
  const ideal = [...plain.values()].sort((a, b) => b - a).slice(0, 10)
  return dcg(found) / dcg(ideal)
}

function dcg(grades: readonly number[]): number {
  return grades.reduce((sum, grade, at) => sum + (2 ** grade - 1) / Math.log2(at + 2), 0)
}

export function cosine(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, at) => sum + value * (b[at] ?? 0), 0)
}
