/** A process of its own that writes lines to the queue socket as it is told, and tells what it gets back. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

/** On its standard input: `connect PATH`, `send LINE`, `end`, `exit`. What the socket says goes to its output. */
const SCRIPT = `
const { createConnection } = require('node:net')
const { createInterface } = require('node:readline')
let socket
createInterface({ input: process.stdin }).on('line', (line) => {
  const [word, ...rest] = line.split(' ')
  const text = rest.join(' ')
  if (word === 'connect') {
    socket = createConnection(text)
    socket.on('connect', () => console.log('{"type":"connected"}'))
    socket.on('error', (error) => console.log(JSON.stringify({ type: 'error', code: error.code })))
    createInterface({ input: socket }).on('line', (answer) => console.log(answer))
  } else if (word === 'send') socket.write(text + '\\n')
  else if (word === 'end') socket.end()
  else if (word === 'exit') process.exit(0)
})
`

type Message = Record<string, unknown>

export class ProducerProcess implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #answers: Message[] = []
  readonly #exited: Promise<void>
  #wake: (() => void)[] = []

  constructor() {
    this.#child = spawn(process.execPath, ['-e', SCRIPT], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#exited = new Promise((resolve) => this.#child.once('exit', () => resolve()))
    const { stdout } = this.#child
    if (stdout === null) throw new Error('no output')
    createInterface({ input: stdout }).on('line', (line) => {
      this.#answers.push(JSON.parse(line) as Message)
      for (const wake of this.#wake.splice(0)) wake()
    })
  }

  get pid(): number {
    return this.#child.pid ?? -1
  }

  async connect(path: string): Promise<void> {
    this.#tell(`connect ${path}`)
    await this.ofType('connected')
  }

  send(...lines: Message[]): void {
    for (const line of lines) this.#tell(`send ${JSON.stringify(line)}`)
  }

  end(): void {
    this.#tell('end')
  }

  ofType(type: string): Promise<Message> {
    return this.answer((message) => message['type'] === type)
  }

  async answer(wanted: (message: Message) => boolean = () => true): Promise<Message> {
    const endsAt = performance.now() + 20_000
    while (performance.now() < endsAt) {
      const at = this.#answers.findIndex(wanted)
      if (at !== -1) return this.#answers.splice(at, 1)[0] as Message
      await new Promise<void>((resolve) => {
        this.#wake.push(resolve)
        setTimeout(resolve, 500)
      })
    }
    throw new Error('no such answer to the process')
  }

  async exit(): Promise<void> {
    this.#tell('exit')
    await this.#exited
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#exited
  }

  #tell(line: string): void {
    this.#child.stdin?.write(`${line}\n`)
  }
}
