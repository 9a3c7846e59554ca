/**
 * An agent that is one file: deployed with what it asks for and no more, started by a signed webhook, searching
 * knowledge and calling a reviewed tool; and refused to send out what it was told in confidence.
 */
import { createHmac, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { denied, dim, good, must, ok, type Stage, say, shown, title } from './stage.ts'

interface Run {
  readonly status: string
  readonly result: { readonly output: unknown } | null
  readonly error: { readonly code: string; readonly message: string } | null
}

const PROGRAM = resolve(import.meta.dirname, '../../examples/demo/invoice_helper.vestry')
const SERVER = resolve(import.meta.dirname, '../../examples/demo/ledger-server.ts')
const HONEST = 'Tells the balance of one of the two accounts.'
const HOURS = 'The invoice desk answers from nine to five. Invoices are paid within thirty days.'
const TERMS =
  'Acme gets a discount of forty percent on every invoice. Nobody outside of sales may know it.'
const DEADLINE_MS = 20_000

/** @returns What the agent was told, and the secret that it must not have been told. */
export async function programChapter(stage: Stage): Promise<{ told: Run[]; key: string }> {
  title('An agent is one file: what starts it, what it does, what it may do')
  using outside = await startListener()
  await stage.vestry(['knowledge', 'add', stage.write('hours.md', HOURS)])
  const terms = stage.write('terms.md', TERMS)
  await stage.vestry(['knowledge', 'add', terms, '--label', 'confidential'])
  good(
    `vestry knowledge add          ${dim('found by meaning and by words, offline; one is labelled')}`,
  )
  await stage.vestry([
    ...['mcp', 'add', 'ledger', '--env', 'LEDGER_KEY=secret://api_key'],
    ...['--env', `LEDGER_TEXT=${stage.write('ledger.txt', HONEST)}`],
    ...['--', process.execPath, SERVER],
  ])
  await stage.vestry(['mcp', 'connect', 'ledger'])

  // Whoever listens has the port that was free.
  const source = readFileSync(PROGRAM, 'utf8').replace('http://127.0.0.1:8090', outside.url)
  const program = stage.write('invoice_helper.vestry', source)
  shown(await stage.vestry(['dsl', 'diff', program]))
  await stage.vestry(['dsl', 'deploy', program, '--env', 'production'])
  good(
    `vestry dsl deploy             ${dim('grants exactly that, to its own runs, while it is deployed')}`,
  )
  const key = randomBytes(24).toString('base64url')
  await stage.vestry(
    ['secret', 'set', 'invoice_helper', 'webhook/custom_mail', '--value-stdin'],
    key,
  )
  await stage.vestry(['policy', 'add', stage.write('no-leaks.cedar', NO_LEAKS)])

  const { http } = JSON.parse(stage.read('run/ready.json').toString()) as { http: string }
  const admin = stage.read('keys/admin.key').toString().trim()
  const told: Run[] = []
  const send = async (text: string, signedWith: string): Promise<Response> => {
    const body = JSON.stringify({ type: 'question', text, reply_to: `${outside.url}/replies` })
    const signature = createHmac('sha256', signedWith).update(body).digest('hex')
    return fetch(`${http}/api/v1/hooks/invoice_helper/custom_mail`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'x-event': 'question',
        'x-signature': signature,
      },
      body,
    })
  }
  const ask = async (text: string): Promise<{ id: string; run: Run }> => {
    const answer = await send(text, key)
    const { execution_id: id } = (await answer.json()) as { execution_id: string }
    const run = await ended(
      async () =>
        (await (
          await fetch(`${http}/api/v1/agents/invoice_helper/executions/${id}`, {
            headers: { authorization: `Bearer ${admin}` },
          })
        ).json()) as Run,
    )
    told.push(run)
    return { id, run }
  }

  const forged = await send('How late do you answer?', 'a guess')
  must(forged.status === 401, `a webhook nobody signed        ${denied()}  ${dim('nothing runs')}`)

  const open = await ask('When does the invoice desk answer?')
  must(
    open.run.status === 'completed' && outside.received.length === 1,
    `a question about the desk      ${ok('answered')}  ${dim('found, looked up, and sent')}`,
  )
  const secretive = await ask('Which discount does Acme get on its invoices?')
  must(
    secretive.run.status === 'completed' &&
      JSON.stringify(secretive.run.result).includes('ACCESS_DENIED') &&
      outside.received.length === 1,
    `a question about a discount    ${denied()}  ${dim('whoever read what is confidential sends nothing out')}`,
  )
  say('')
  shown(await stage.vestry(['trace', secretive.id]))
  await stage.vestry(['mcp', 'rm', 'ledger'])
  return { told, key }
}

const NO_LEAKS = `@id("no-leaks")
@reason("tainted")
forbid (principal is Agent, action, resource is Tool)
when { context.taint.contains("confidential") }
when { context has host };
`

async function ended(look: () => Promise<Run>): Promise<Run> {
  const until = performance.now() + DEADLINE_MS
  for (;;) {
    const run = await look()
    if (!['pending', 'running'].includes(run.status)) return run
    if (performance.now() > until) throw new Error(`the run has not ended: ${run.status}`)
    await delay(20)
  }
}

/** Somebody outside, who takes whatever is sent. */
async function startListener() {
  const received: string[] = []
  const server = createServer((request, response) => {
    received.push(request.url ?? '')
    request.resume().once('end', () => response.writeHead(200).end('{}'))
  })
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    received,
    [Symbol.dispose]: () => {
      server.close()
      server.closeAllConnections()
    },
  }
}
