import { createPublicKey, sign } from 'node:crypto'
import { expect, test } from 'vitest'
import type { Agent } from './agent.ts'
import { newAgent } from './agent.ts'
import { acceptKey } from './agent-key.ts'
import { Authenticator } from './authenticate.ts'
import { ChallengeBook } from './challenge.ts'
import { fingerprint } from './ed25519.ts'
import type { Candidate } from './login.ts'
import { SessionBook } from './session.ts'
import { testKeyring, testPair } from './test-keys.ts'

const clock = { now: () => 1_900_000_000_000, monotonic: () => 0 }
const pair = testPair(1)
const scout = newAgent(
  { name: 'scout', keys: [acceptKey(pair.hex, 0)] },
  { id: '6b1f9a7e-0d55-4f0a-9f43-0c8f7a2f1d11', trustDomain: 'example.org', nowMs: 0 },
)
const KNOWN: Candidate<Agent> = {
  subject: scout,
  keys: [{ key: createPublicKey(pair.privateKey), fingerprint: fingerprint(pair.raw) }],
  requireSigV2: false,
}
const NOBODY: Candidate<Agent> = { subject: undefined, keys: [], requireSigV2: false }

function world(lookup: () => Candidate<Agent>) {
  const ended: string[] = []
  const sessions = new SessionBook({ clock, onEnd: (_session, reason) => ended.push(reason) })
  const keyring = testKeyring()
  const authenticator = new Authenticator<Agent>({
    book: new ChallengeBook(clock),
    sessions,
    lookup: async () => lookup(),
    principal: (agent) => ({ kind: 'agent', agent }),
    serverKey: () => keyring.serverKey,
  })
  const login = () => {
    const connection = {}
    const { session_id: sessionId, challenge } = authenticator.begin(connection, 'scout')
    const signature = sign(null, Buffer.from(challenge, 'hex'), pair.privateKey).toString('hex')
    return authenticator.answer(connection, { transport: 'unix' }, { sessionId, signature })
  }
  return { sessions, ended, login }
}

test('an agent that is revoked while its record is being read gets no session', async () => {
  const answers = [KNOWN, NOBODY]
  const { sessions, ended, login } = world(() => answers.shift() ?? NOBODY)
  await expect(login()).rejects.toMatchObject({ code: 'AUTH_FAILED' })
  expect(sessions.size).toBe(0)
  expect(ended).toEqual(['revoked'])
})

test('an agent that stays what it was does', async () => {
  const { sessions, login } = world(() => KNOWN)
  expect(sessions.isLive(await login())).toBe(true)
})
