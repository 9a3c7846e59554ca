/**
 * One connection to the identity socket: requests go out as lines, answers come back with the id of theirs. It keeps
 * the process alive only while an answer is awaited.
 */
import { connect, type Socket } from 'node:net'
import { ClaimError } from './errors.ts'

type Answer = Readonly<Record<string, unknown>>

interface Waiting {
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: ClaimError) => void
}

/** Longer than any answer: a list of agents is the longest. */
const MAX_ANSWER_CHARS = 4_194_304

export class PodConnection {
  readonly #socket: Socket
  readonly #waiting = new Map<number, Waiting>()
  #text = ''
  #lastId = 0
  #ended: ClaimError | undefined

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.setEncoding('utf8')
    socket.on('data', (text: string) => this.#take(text))
    socket.on('error', (cause) => this.#end(new ClaimError('closed', cause.message, { cause })))
    socket.on('close', () => this.#end(new ClaimError('closed', 'the daemon ended the connection')))
    socket.unref()
  }

  /** @throws ClaimError `unreachable`, `timeout` */
  static open(path: string, timeoutMs: number): Promise<PodConnection> {
    return new Promise((resolve, reject) => {
      const socket = connect({ path })
      const timer = setTimeout(() => {
        socket.destroy()
        reject(new ClaimError('timeout', `${path} did not accept within ${timeoutMs} ms`))
      }, timeoutMs)
      const failed = (cause: Error): void => {
        clearTimeout(timer)
        const message = `nobody answers at ${path}; ENVPOD_IDENTITY_SOCKET says where to ask`
        reject(new ClaimError('unreachable', message, { cause }))
      }
      socket.once('error', failed)
      socket.once('connect', () => {
        clearTimeout(timer)
        socket.off('error', failed)
        resolve(new PodConnection(socket))
      })
    })
  }

  get isOpen(): boolean {
    return this.#ended === undefined
  }

  /** @throws ClaimError `closed`, `timeout`, `bad_answer` */
  request(message: Readonly<Record<string, unknown>>, timeoutMs: number): Promise<Answer> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended)
    this.#lastId += 1
    const id = this.#lastId
    return new Promise((resolve, reject) => {
      // What comes later would be taken for the answer to something else.
      const timer = setTimeout(
        () => this.#end(new ClaimError('timeout', `no answer within ${timeoutMs} ms`)),
        timeoutMs,
      )
      const done = (): void => {
        clearTimeout(timer)
        this.#waiting.delete(id)
        if (this.#waiting.size === 0) this.#socket.unref()
      }
      this.#waiting.set(id, {
        resolve: (answer) => {
          done()
          resolve(answer)
        },
        reject: (error) => {
          done()
          reject(error)
        },
      })
      this.#socket.ref()
      this.#socket.write(`${JSON.stringify({ ...message, id })}\n`)
    })
  }

  close(): void {
    this.#end(new ClaimError('closed', 'the client was closed'))
  }

  #take(text: string): void {
    this.#text += text
    for (let end = this.#text.indexOf('\n'); end !== -1; end = this.#text.indexOf('\n')) {
      const line = this.#text.slice(0, end)
      this.#text = this.#text.slice(end + 1)
      this.#answer(line)
    }
    if (this.#text.length > MAX_ANSWER_CHARS)
      this.#end(new ClaimError('bad_answer', 'the answer is too long'))
  }

  #answer(line: string): void {
    const answer = parse(line)
    const id = answer?.['id']
    const waiting = typeof id === 'number' ? this.#waiting.get(id) : undefined
    if (answer === undefined || waiting === undefined)
      this.#end(new ClaimError('bad_answer', 'the answer is none of this protocol'))
    else waiting.resolve(answer)
  }

  #end(error: ClaimError): void {
    this.#ended ??= error
    this.#socket.destroy()
    for (const { reject } of [...this.#waiting.values()]) reject(error)
  }
}

function parse(line: string): Answer | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null ? (value as Answer) : undefined
  } catch {
    return undefined
  }
}
