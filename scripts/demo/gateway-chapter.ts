/** Tools whose keys the agent has not: what tokens and policy refuse, what is sent once, what survives a kill. */
import { setTimeout as wait } from 'node:timers/promises'
import { type Seen, SLOW_QUERY } from './providers.ts'
import { denied, dim, good, must, ok, type Stage, shown, title } from './stage.ts'

interface Attempt {
  what: string
  result?: unknown
  code?: string
  reason?: string
  /** Of the call, as the gateway knows it. */
  correlationId?: string
}

interface Found {
  organic_results: { title: string; phone: string; owner: string }[]
}

const POLICY = {
  name: 'Lead desk',
  agent: 'lead-bot',
  spec: {
    scopes: ['serpapi:search', 'gmail_send:send'],
    intent: 'lead_discovery',
    guards: { piiFilters: ['email'] },
    responseFilters: { redactFields: ['phone'] },
  },
}

/** @returns All that the agent was told. */
export async function gatewayChapter(
  stage: Stage,
  { keys, seen }: { keys: { search: string; mail: string }; seen: Seen },
): Promise<Attempt[]> {
  title('An agent that searches and writes mail, through tools whose keys it has not')
  await Promise.all([
    stage.vestry(['agent', 'add', 'lead-bot']),
    stage.vestry(['cred', 'add', 'tools/serpapi', '--value-stdin'], keys.search),
    stage.vestry(['cred', 'add', 'tools/gmail_send', '--value-stdin'], keys.mail),
  ])
  const policy = stage.write('lead-desk.json', JSON.stringify(POLICY))
  const [, env] = await Promise.all([
    stage.vestry(['policy', 'add', policy]),
    stage.vestryJson<NodeJS.ProcessEnv>(['agent', 'env', 'lead-bot']),
  ])
  const attempts = await stage.agent<Attempt>('lead-agent.ts', { ...env, SLOW_QUERY })
  const [searched, outOfScope, otherIntent, first, again, slowJob, mailJob] = attempts
  const lead = (searched?.result as Found | undefined)?.organic_results[0]
  must(lead !== undefined, `search                    ${ok('ok')}      ${JSON.stringify(lead)}`)
  must(
    lead?.phone === '[REDACTED]' && lead.owner === '[REDACTED:email]',
    'the search server sent a phone number and an address; policy lets neither through',
  )
  must(
    outOfScope?.code === 'POLICY_TOKEN_SCOPE',
    `mail, token for search    ${denied()}  ${why(outOfScope)}`,
  )
  must(
    otherIntent?.code === 'POLICY_INTENT_MISMATCH',
    `search for other ends     ${denied()}  ${why(otherIntent)}`,
  )
  const sent = idOf(first)
  must(
    sent !== undefined && sent === idOf(again),
    `mail, twice with one key  ${ok('ok')}      ${sent}, ${idOf(again)}`,
  )
  must(seen.mails.length === 1, `the mail server counts ${seen.mails.length}`)
  must(
    seen.searchKey === keys.search && seen.mailKey === `Bearer ${keys.mail}`,
    'both servers received their real keys',
  )

  title('Two jobs, and a daemon that is killed')
  const jobs = [slowJob, mailJob].map((attempt) => String(attempt?.result))
  await until(() => seen.searches.includes(SLOW_QUERY))
  good(`queued: a search that is under way, a mail that waits behind it`)
  await stage.end('SIGKILL')
  good('kill -9')
  await stage.up()
  const { GATEWAY_URL } = await stage.vestryJson<NodeJS.ProcessEnv>(['agent', 'env', 'lead-bot'])
  const ended = await stage.agent<Attempt>('lead-agent.ts', {
    ...env,
    GATEWAY_URL,
    JOBS: jobs.join(','),
  })
  const [found, mailed] = ended
  must(
    found?.result !== undefined,
    `vestry up: the search is done; its server was asked ${seen.searches.filter((q) => q === SLOW_QUERY).length} times`,
  )
  must(
    idOf(mailed) === 'msg_2' && seen.mails.length === 2,
    `the mail went out after it, once: the mail server counts ${seen.mails.length}`,
  )

  title('One of these calls, from token to provider')
  shown(await stage.vestry(['trace', String(first?.correlationId)]))
  return [...attempts, ...ended]
}

function idOf(attempt: Attempt | undefined): string | undefined {
  return (attempt?.result as { message_id?: string } | undefined)?.message_id
}

/** Only the reason: who asked for what stands beside it already. */
function why(attempt: Attempt | undefined): string {
  return dim((attempt?.reason ?? '').replace(/^.*?: /, ''))
}

async function until(holds: () => boolean): Promise<void> {
  for (let left = 500; !holds(); left -= 1) {
    if (left === 0) throw new Error('the search server was not asked within 5 s')
    await wait(10)
  }
}
