/** An agent that tells what it does: its spans and the vault's own records in one tree, and a forgery seen through. */
import { join } from 'node:path'
import { dim, good, must, ok, type Stage, shown, title } from './stage.ts'

interface Told {
  what: string
  result: string
}

interface Recorded {
  agent?: string
  event?: { envpod?: { agent_claim_id?: string; overwrote?: string[] } }
}

/** @returns All that the agent was told. */
export async function coatChapter(stage: Stage, apiPort: number): Promise<Told[]> {
  title('An agent puts on its coat: what it did, and what that caused, in one tree')
  const ready = JSON.parse(stage.read('run/ready.json').toString()) as Record<string, string>
  const told = await stage.agent<Told>('coat-agent.ts', {
    VAULT_SOCKET: ready['vault_socket'],
    AGENT_KEY: join(stage.home, 'keys/invoice-bot.key'),
    API_URL: `http://127.0.0.1:${apiPort}`,
    ENVPOD_POD_ID: ready['pod_id'],
    ENVPOD_SOCKET: ready['queue_socket'],
    ENVPOD_IDENTITY_SOCKET: ready['identity_socket'],
  })
  const said = Object.fromEntries(told.map(({ what, result }) => [what, result]))
  const eventsOf = async (trace: string) => {
    const { records } = await stage.vestryJson<{ records: Recorded[] }>([
      ...['audit', 'query', '--source', 'coat', '--trace', trace],
    ])
    return records
  }
  const own = await eventsOf(String(said['trace']))
  must(
    own.length >= 4 &&
      own.every(
        ({ agent, event }) =>
          agent === 'invoice-bot' && event?.envpod?.agent_claim_id === said['claim'],
      ),
    `claimed as invoice-bot   ${ok(`${own.length} events`)}  ${dim(String(said['claim']))}`,
  )
  const [forged] = await eventsOf(String(said['forged']))
  must(
    forged?.event?.envpod?.overwrote?.includes('subject.agent_id'),
    `an event that says it is from chief-accountant is stored as ${ok(forged?.agent ?? 'anonymous')}`,
  )
  good('vestry trace')
  shown(await stage.vestry(['trace', String(said['trace'])]))
  return told
}
