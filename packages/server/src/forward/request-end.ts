/**
 * Finds the end of one HTTP/1.1 request in a stream of bytes, so that a request which cannot be passed on
 * is read whole before it is answered. Keeps the head and nothing of the body.
 */

export interface RequestBounds {
  readonly maxHeadBytes: number
  readonly maxBodyBytes: number
}

/** `broken` is what will never end in a way we understand, or is larger than the bounds. */
export type Progress = 'more' | 'complete' | 'broken'

type Body =
  | { readonly kind: 'none' }
  | { readonly kind: 'sized'; readonly bytes: number }
  | { readonly kind: 'chunked' }

type Stage =
  | { readonly at: 'head' }
  | { readonly at: 'sized'; left: number }
  | { readonly at: 'chunk-size'; line: string }
  | { readonly at: 'chunk-data'; left: number }
  | { readonly at: 'trailer'; line: string }
  | { readonly at: 'end'; readonly progress: Progress }

const LONGEST_LINE = 8_192
const LF = 10

export class RequestEnd {
  readonly #bounds: RequestBounds
  #head = Buffer.alloc(0)
  #stage: Stage = { at: 'head' }
  #bodyBytes = 0

  constructor(bounds: RequestBounds) {
    this.#bounds = bounds
  }

  /** Path of the request line without its query, once the head is complete. */
  get path(): string | undefined {
    const target = this.#head.toString('latin1').split(' ', 2)[1]
    return this.#stage.at === 'head' ? undefined : target?.split('?', 1)[0]
  }

  get hasBegun(): boolean {
    return this.#head.length > 0
  }

  push(bytes: Uint8Array): Progress {
    let rest = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    while (rest.length > 0 && this.#stage.at !== 'end') rest = this.#step(rest)
    return this.#stage.at === 'end' ? this.#stage.progress : 'more'
  }

  /** Takes some of `bytes`, at least one, and returns the others. */
  #step(bytes: Buffer): Buffer {
    const stage = this.#stage
    if (stage.at === 'head') return this.#readHead(bytes)
    if (stage.at === 'sized' || stage.at === 'chunk-data') {
      const taken = Math.min(stage.left, bytes.length)
      stage.left -= taken
      this.#count(taken)
      if (stage.left === 0 && this.#stage === stage) {
        this.#stage =
          stage.at === 'sized'
            ? { at: 'end', progress: 'complete' }
            : { at: 'chunk-size', line: '' }
      }
      return bytes.subarray(taken)
    }
    if (stage.at === 'end') return bytes.subarray(bytes.length)
    return this.#readLine(bytes, stage)
  }

  #readHead(bytes: Buffer): Buffer {
    const seen = this.#head.length
    const all = Buffer.concat([this.#head, bytes])
    const end = endOfHead(all, Math.max(0, seen - 3))
    if (end === -1 && all.length <= this.#bounds.maxHeadBytes) {
      this.#head = all
      return bytes.subarray(bytes.length)
    }
    if (end === -1 || end > this.#bounds.maxHeadBytes) {
      this.#head = all.subarray(0, this.#bounds.maxHeadBytes)
      this.#stage = { at: 'end', progress: 'broken' }
      return bytes.subarray(bytes.length)
    }
    this.#head = all.subarray(0, end)
    const body = bodyOf(this.#head.toString('latin1'))
    if (body === undefined) this.#stage = { at: 'end', progress: 'broken' }
    else if (body.kind === 'chunked') this.#stage = { at: 'chunk-size', line: '' }
    else if (body.kind === 'none' || body.bytes === 0)
      this.#stage = { at: 'end', progress: 'complete' }
    else this.#stage = { at: 'sized', left: body.bytes }
    return bytes.subarray(end - seen)
  }

  #readLine(bytes: Buffer, stage: Extract<Stage, { line: string }>): Buffer {
    const at = bytes.indexOf(LF)
    stage.line += bytes.toString('latin1', 0, at === -1 ? bytes.length : at)
    const rest = bytes.subarray(at === -1 ? bytes.length : at + 1)
    if (stage.line.length > LONGEST_LINE) this.#stage = { at: 'end', progress: 'broken' }
    else if (at !== -1) this.#endLine(stage.at, stage.line.replace(/\r$/, ''))
    this.#count(bytes.length - rest.length)
    return rest
  }

  #endLine(at: 'chunk-size' | 'trailer', line: string): void {
    if (at === 'trailer') {
      this.#stage = line === '' ? { at: 'end', progress: 'complete' } : { at: 'trailer', line: '' }
      return
    }
    const [, size] = /^([0-9a-f]{1,8})[ \t]*(?:;.*)?$/i.exec(line) ?? []
    if (size === undefined) this.#stage = { at: 'end', progress: 'broken' }
    else if (/^0+$/.test(size)) this.#stage = { at: 'trailer', line: '' }
    else this.#stage = { at: 'chunk-data', left: Number.parseInt(size, 16) + '\r\n'.length }
  }

  #count(bytes: number): void {
    this.#bodyBytes += bytes
    if (this.#bodyBytes > this.#bounds.maxBodyBytes && this.#stage.at !== 'end') {
      this.#stage = { at: 'end', progress: 'broken' }
    }
  }
}

/** Index just behind the empty line, or -1. Bare line feeds count, as they do for lenient peers. */
function endOfHead(bytes: Buffer, from: number): number {
  for (let at = bytes.indexOf(LF, from); at !== -1; at = bytes.indexOf(LF, at + 1)) {
    if (bytes[at + 1] === LF) return at + 2
    if (bytes[at + 1] === 13 && bytes[at + 2] === LF) return at + 3
  }
  return -1
}

/** How the body is delimited; undefined when that cannot be told for sure. */
function bodyOf(head: string): Body | undefined {
  const fields = head.split(/\r?\n/).slice(1)
  const valuesOf = (name: string): string[] =>
    fields
      .map((field) => /^([^:\s]+):\s*(.*?)\s*$/.exec(field))
      .filter((match) => match?.[1]?.toLowerCase() === name)
      .map((match) => match?.[2] ?? '')
  const coding = valuesOf('transfer-encoding')
  const length = new Set(valuesOf('content-length'))
  if (coding.length > 0) {
    return length.size === 0 && coding.at(-1)?.toLowerCase() === 'chunked'
      ? { kind: 'chunked' }
      : undefined
  }
  const [bytes] = length
  if (bytes === undefined) return { kind: 'none' }
  return length.size === 1 && /^\d{1,15}$/.test(bytes)
    ? { kind: 'sized', bytes: Number(bytes) }
    : undefined
}
