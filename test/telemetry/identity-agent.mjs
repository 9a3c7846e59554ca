/** A process of an agent: does what it is told, a line of JSON at a time, and answers with one. */
import { spawn } from 'node:child_process'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'

const { QUEUE, IDENTITY } = process.env
/** One for all events, as a library holds it. */
let queue

const orders = {
  identity: (line) =>
    new Promise((resolve, reject) => {
      const socket = connect(IDENTITY, () => socket.write(`${JSON.stringify(line)}\n`))
      socket.once('error', reject)
      createInterface({ input: socket }).once('line', (answer) => {
        socket.destroy()
        resolve(answer)
      })
    }),
  event: async (line) => {
    queue ??= connect(QUEUE).resume()
    await new Promise((resolve) => queue.write(`${JSON.stringify(line)}\n`, resolve))
    return '{}'
  },
  /** The child stays for as long as it is looked at. */
  child: (line) =>
    new Promise((resolve) => {
      const script = `
        const socket = require('node:net').connect(process.argv[1], () => {
          socket.write(process.argv[2] + '\\n', () => console.log('{}'))
        })
        setTimeout(() => process.exit(), 5_000)`
      const args = ['-e', script, QUEUE, JSON.stringify(line)]
      const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
      createInterface({ input: child.stdout }).once('line', resolve)
    }),
}

for await (const text of createInterface({ input: process.stdin })) {
  const { order, line } = JSON.parse(text)
  const answer = await orders[order](line).catch(({ message }) => JSON.stringify({ message }))
  process.stdout.write(`${answer}\n`)
}
process.exit()
