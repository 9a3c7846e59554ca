import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import { beforeEach, describe, expect, test } from 'vitest'
import { eachStore } from '../../store/test-store.ts'
import { parseJws, verifyJws } from '../runs/jws.ts'
import { issueAgentToken, issueClaimToken } from './agent-token.ts'
import { acceptTerms } from './claim-terms.ts'
import { type ClaimWorld, claimWorld, OWN_UID, POD } from './claim-world.test-kit.ts'
import type { ProcessPeer } from './resolution.ts'

const refused = (code: string) => expect.objectContaining({ code })

eachStore('claims', (at) => {
  let world: ClaimWorld
  let peer: ProcessPeer
  beforeEach(() => {
    world = claimWorld(at.store)
    peer = world.processes.start(7, { uid: OWN_UID })
  })

  test('telemetry §16.27: claimed, renewed, released: the process is the agent in between, and the log has all of it', async () => {
    const agent = await world.addAgent('auditor', { capabilities: ['read', 'commit'] })
    const { claim, token } = await world.desk.claim(peer, { agent: 'auditor', ttlSeconds: 60 })
    expect(claim).toMatchObject({
      agentId: agent.id,
      agentName: 'auditor',
      agentRole: 'auditor-role',
      capabilities: ['read', 'commit'],
      scope: 'process',
      expiresAtMs: world.clock.now() + 60_000,
    })
    expect(claim.id).toMatch(/^jti_[0-9a-f]{32}$/)
    expect(claim.session).toMatch(/^sess_[0-9a-f]{16}$/)
    expect(world.who(peer)).toBe('auditor')
    const jws = parseJws(token)
    expect(jws && verifyJws('EdDSA', createPublicKey(world.publicKey), jws)).toBe(true)
    expect(jws?.payload).toEqual({
      iss: 'envpod',
      sub: 'pod:ledger/agent:auditor',
      pod_id: POD.id,
      pod_name: 'ledger',
      agent_id: agent.id,
      agent_name: 'auditor',
      capabilities: ['read', 'commit'],
      vault_keys: [],
      iat: world.clock.now() / 1_000,
      exp: world.clock.now() / 1_000 + 60,
      jti: claim.id,
      session: claim.session,
      cnf: { pid: 7, start_time: '100' },
    })

    world.clock.pass(50_000)
    await world.desk.renew(peer, { id: claim.id, ttlSeconds: 60 })
    world.clock.pass(50_000)
    expect(world.who(peer)).toBe('auditor')
    expect(await world.desk.release(peer, undefined)).toBe(claim.id)
    expect(world.who(peer)).toBe('anonymous')
    expect((await world.desk.list()).length).toBe(0)

    expect(world.actions()).toEqual(['identity_claim', 'identity_renew', 'identity_release'])
    for (const record of world.records) {
      expect(record).toMatchObject({
        source: 'identity',
        durability: 'synced',
        success: true,
        actor: 'agent:auditor',
        agent: 'auditor',
        pid: 7,
        uid: OWN_UID,
        data: { claim_id: claim.id, start_time: '100', agent_uuid: agent.id },
      })
    }
    expect(world.records[0]?.data).toMatchObject({
      exe: '/usr/bin/node',
      exe_sha256: 'ab'.repeat(32),
    })
  })

  test('an acknowledged claim is there after a restart, as long as its process is', async () => {
    await world.addAgent('auditor', { max_claims: 5 })
    const others = [8, 9, 10].map((pid) => world.processes.start(pid, { uid: OWN_UID }))
    const [reused, gone, expired] = others as [ProcessPeer, ProcessPeer, ProcessPeer]
    await world.desk.claim(peer, { agent: 'auditor', ttlSeconds: 3_000 })
    for (const one of [reused, gone]) await world.desk.claim(one, { agent: 'auditor' })
    await world.desk.claim(expired, { agent: 'auditor', ttlSeconds: 10 })
    world.processes.start(reused.pid, { uid: OWN_UID, startTime: '999' })
    world.processes.exit(gone.pid)
    world.clock.pass(20_000)

    const { clock, processes } = world
    const again = claimWorld(at.store, { clock, processes })
    expect(again.who(peer)).toBe('anonymous')
    await again.desk.open()
    expect(again.who({ ...peer })).toBe('auditor')
    expect(again.who({ ...reused, startTime: '999' })).toBe('anonymous')
    expect(again.actions().sort()).toEqual([
      'identity_claim', // it goes on
      'identity_exit',
      'identity_exit',
      'identity_expire',
    ])
    expect((await again.desk.list()).map(({ claim }) => claim.pid)).toEqual([7])
    clock.pass(2_980_000)
    expect(again.who({ ...peer })).toBe('anonymous')
  })

  test('a row that was altered, or that another boot has left, is no claim', async () => {
    await world.addAgent('auditor', { max_claims: 2 })
    await world.desk.claim(peer, { agent: 'auditor' })
    const second = world.processes.start(8, { uid: OWN_UID })
    const { claim } = await world.desk.claim(second, { agent: 'auditor' })
    await at.store.write((trx) =>
      trx.updateTable('claim').set({ boot_id: 'forged' }).where('id', '=', claim.id).execute(),
    )
    const { clock, processes } = world
    const again = claimWorld(at.store, { clock, processes })
    await again.desk.open()
    expect([{ ...peer }, { ...second }].map(again.who)).toEqual(['auditor', 'anonymous'])

    processes.bootId = () => 'the next boot'
    const rebooted = claimWorld(at.store, { clock, processes })
    await rebooted.desk.open()
    expect(rebooted.who({ ...peer })).toBe('anonymous')
    expect(await rebooted.desk.list()).toEqual([])
  })

  describe('telemetry §16.29: refused, with its code and a record', () => {
    async function refusal(code: string, work: Promise<unknown>): Promise<void> {
      const before = world.records.length
      await expect(work).rejects.toEqual(refused(code))
      expect(world.records.slice(before)).toEqual([
        expect.objectContaining({
          action: 'identity_reject',
          success: false,
          actor: 'anonymous',
          source: 'identity',
          pid: 7,
          data: expect.objectContaining({ code, start_time: '100' }),
        }),
      ])
      expect(world.records.at(-1)).not.toHaveProperty('agent')
    }

    test('an unknown agent, and one that is disabled', async () => {
      await refusal('unknown_agent', world.desk.claim(peer, { agent: 'nobody' }))
      expect(world.records[0]?.data).toMatchObject({ asked: 'nobody' })
      const pasted = 'sk-ant-api03-abcdefghijklmnopqrstuvwxyz0123'
      await refusal('unknown_agent', world.desk.claim(peer, { agent: pasted }))
      expect(JSON.stringify(world.records)).not.toContain(pasted)
      await world.addAgent('auditor')
      await world.agents.disable('auditor')
      await refusal('unknown_agent', world.desk.claim(peer, { agent: 'auditor' }))
    })

    test('a user that is not expected, until an operator starts it as that user', async () => {
      const agent = await world.addAgent('auditor')
      peer = world.processes.start(7, { uid: 2_000 })
      await refusal('not_permitted', world.desk.claim(peer, { agent: 'auditor' }))
      world.expectedUids.expect(agent.id, 2_000)
      await world.desk.claim(peer, { agent: 'auditor' })
      world.expectedUids.forget(agent.id, 2_000)
      await world.desk.release(peer, undefined)
      await refusal('not_permitted', world.desk.claim(peer, { agent: 'auditor' }))
      // Named users count instead of the usual ones.
      await world.terms.update(agent.id, () => acceptTerms({ claim_policy: { uids: [2_000] } }))
      await world.desk.claim(peer, { agent: 'auditor' })
      const own = world.processes.start(8, { uid: OWN_UID })
      await expect(world.desk.claim(own, { agent: 'auditor' })).rejects.toEqual(
        refused('not_permitted'),
      )
    })

    test('a program that is not listed', async () => {
      const claim_policy = { exe_sha256: ['cd'.repeat(32)] }
      await world.addAgent('auditor', { claim_policy })
      await refusal('not_permitted', world.desk.claim(peer, { agent: 'auditor' }))
      world.programs.set(7, { path: '/usr/bin/secret' }) // one whose file cannot be read
      await refusal('not_permitted', world.desk.claim(peer, { agent: 'auditor' }))
      world.programs.set(7, { path: '/usr/bin/agent', sha256: 'cd'.repeat(32) })
      await world.desk.claim(peer, { agent: 'auditor' })
    })

    test('a missing token, and every token that is not the agent’s own', async () => {
      const agent = await world.addAgent('auditor', { claim_policy: { require_token: true } })
      const other = await world.addAgent('committer')
      const claim = (token?: string) => world.desk.claim(peer, { agent: 'auditor', token })
      await refusal('token_required', claim())
      const { token } = await world.desk.issueToken(agent)
      const key = world.publicKey
      const nowMs = world.clock.now()
      const named = { id: agent.id, name: 'auditor', capabilities: [] }
      const { privateKey } = generateKeyPairSync('ed25519')
      const granted = await world.desk.claim(peer, { agent: 'committer' })
      await world.desk.release(peer, undefined)
      for (const wrong of [
        'x',
        `${token.slice(0, -4)}AAAA`,
        token.replace(/^[^.]+/, Buffer.from('{"alg":"none"}').toString('base64url')),
        (await world.desk.issueToken(other)).token,
        issueAgentToken(privateKey, { pod: POD, agent: named, nowMs }).token,
        issueAgentToken(key, { pod: { id: 'pod_other', name: 'x' }, agent: named, nowMs }).token,
        issueAgentToken(key, { pod: POD, agent: named, nowMs: nowMs - 86_400_000 }).token,
        // Bound to the process that it was given to.
        issueClaimToken(key, POD, { ...granted.claim, agentId: agent.id }),
      ])
        await refusal('token_invalid', claim(wrong))
      await claim(token)
      expect(world.who(peer)).toBe('auditor')
    })

    test('a token that is not asked for must be right all the same', async () => {
      await world.addAgent('auditor')
      await refusal('token_invalid', world.desk.claim(peer, { agent: 'auditor', token: 'x' }))
    })

    test('a capability too much, a scope too wide, a life too long', async () => {
      await world.addAgent('auditor', { capabilities: ['read'], max_ttl_secs: 60 })
      const claim = (more: object) => world.desk.claim(peer, { agent: 'auditor', ...more })
      await refusal('capability_not_granted', claim({ capabilities: ['read', 'commit'] }))
      await refusal('not_permitted', claim({ scope: 'tree' }))
      for (const ttlSeconds of [0, -1, 61]) await refusal('ttl_out_of_range', claim({ ttlSeconds }))
      const { claim: granted } = await claim({ capabilities: [] })
      expect([granted.capabilities, granted.expiresAtMs - granted.issuedAtMs]).toEqual([[], 60_000])
      await refusal('ttl_out_of_range', world.desk.renew(peer, { id: granted.id, ttlSeconds: 61 }))
    })

    test('a second claim of the process, unless it is to take the place of the first', async () => {
      await world.addAgent('auditor')
      await world.addAgent('committer')
      await world.desk.claim(peer, { agent: 'auditor' })
      for (const agent of ['auditor', 'committer'])
        await refusal('already_claimed', world.desk.claim(peer, { agent }))
      await world.desk.claim(peer, { agent: 'committer', replace: true })
      expect(world.who(peer)).toBe('committer')
      expect((await world.desk.list()).map(({ claim }) => claim.agentName)).toEqual(['committer'])
      await world.desk.claim(peer, { agent: 'committer', replace: true })
      expect(world.who(peer)).toBe('committer')
    })

    test('more claims than the agent may have, whose processes are still there', async () => {
      await world.addAgent('auditor')
      const first = world.processes.start(8, { uid: OWN_UID })
      await world.desk.claim(first, { agent: 'auditor' })
      await refusal('claim_limit', world.desk.claim(peer, { agent: 'auditor' }))
      world.processes.exit(8)
      await world.desk.claim(peer, { agent: 'auditor' })
      expect(world.actions().slice(-2)).toEqual(['identity_exit', 'identity_claim'])
    })

    test('what another process holds, and what nobody holds', async () => {
      await world.addAgent('auditor')
      const holder = world.processes.start(8, { uid: OWN_UID })
      const { claim } = await world.desk.claim(holder, { agent: 'auditor', ttlSeconds: 10 })
      const { id } = claim
      await refusal('not_permitted', world.desk.renew(peer, { id, ttlSeconds: undefined }))
      await refusal('not_permitted', world.desk.release(peer, id))
      await refusal('not_claimed', world.desk.release(peer, 'jti_0'))
      await refusal('not_claimed', world.desk.release(peer, undefined))
      // Not even a process that inherits it.
      await refusal('not_claimed', world.desk.renew(peer, { id: undefined, ttlSeconds: 5 }))
      world.clock.pass(10_000)
      world.book.check()
      await refusal('expired', world.desk.renew(peer, { id, ttlSeconds: 5 }))
    })
  })

  test('too many claims leave a summary and not a record each', async () => {
    await world.addAgent('auditor')
    world.left = 1
    await world.desk.claim(peer, { agent: 'auditor' })
    await expect(world.desk.claim(peer, { agent: 'auditor' })).rejects.toEqual(
      refused('rate_limited'),
    )
    await expect(world.desk.release(peer, 'jti_0')).rejects.toEqual(refused('not_claimed'))
    expect(world.actions()).toEqual(['identity_claim'])
    expect(world.summaries).toEqual([OWN_UID, OWN_UID])
  })

  test('telemetry §16.30: without credentials of the kernel nothing is claimed', async () => {
    await world.addAgent('auditor')
    const unknown = { unavailable: 'not supported' }
    for (const work of [
      world.desk.claim(unknown, { agent: 'auditor' }),
      world.desk.renew(unknown, { id: undefined, ttlSeconds: 5 }),
      world.desk.release(unknown, undefined),
    ])
      await expect(work).rejects.toEqual(refused('peercred_unavailable'))
    expect(world.records.map(({ data }) => data?.['peercred'])).toEqual(
      Array(3).fill('not supported'),
    )
  })

  test('while sealed nothing new is claimed, what is claimed stays, and may be given back', async () => {
    await world.addAgent('auditor')
    const { claim } = await world.desk.claim(peer, { agent: 'auditor' })
    world.sealed = true
    const other = world.processes.start(8, { uid: OWN_UID })
    await expect(world.desk.claim(other, { agent: 'auditor' })).rejects.toEqual(
      expect.objectContaining({ code: 'unavailable', message: expect.stringContaining('sealed') }),
    )
    await expect(world.desk.renew(peer, { id: claim.id, ttlSeconds: 5 })).rejects.toEqual(
      refused('unavailable'),
    )
    await expect(world.desk.agents()).rejects.toEqual(refused('unavailable'))
    expect(world.who(peer)).toBe('auditor')
    expect(await world.desk.release(peer, claim.id)).toBe(claim.id)
  })

  test('a claim that cannot be recorded is not granted, and leaves no row', async () => {
    await world.addAgent('auditor')
    world.auditFails = true
    await expect(world.desk.claim(peer, { agent: 'auditor' })).rejects.toEqual(
      refused('unavailable'),
    )
    world.auditFails = false
    expect(await world.desk.list()).toEqual([])
    expect(world.who(peer)).toBe('anonymous')
  })

  test('claims end with their agent at once, also for a change that another node makes', async () => {
    await world.addAgent('auditor')
    await world.desk.claim(peer, { agent: 'auditor' })
    const disabling = world.agents.disable('auditor')
    await disabling
    expect(world.who(peer)).toBe('anonymous')
    expect(world.actions().at(-1)).toBe('identity_release')
    expect(world.records.at(-1)?.data).toMatchObject({ reason: 'agent_ended' })

    await world.agents.enable('auditor')
    await world.desk.claim(peer, { agent: 'auditor' })
    const { clock, processes } = world
    const elsewhere = claimWorld(at.store, { clock, processes, node: 'elsewhere' })
    await elsewhere.agents.revoke('auditor')
    world.agents.drop()
    await world.desk.recheck()
    expect(world.who(peer)).toBe('anonymous')
  })

  test('terms that grant less end what they no longer grant', async () => {
    const agent = await world.addAgent('auditor', {
      capabilities: ['read', 'commit'],
      max_claims: 2,
    })
    const reader = world.processes.start(8, { uid: OWN_UID })
    await world.desk.claim(peer, { agent: 'auditor' })
    await world.desk.claim(reader, { agent: 'auditor', capabilities: ['read'] })
    await world.terms.update(agent.id, (terms) => ({ ...terms, capabilities: ['read'] }))
    await world.desk.recheck()
    expect([peer, reader].map(world.who)).toEqual(['anonymous', 'auditor'])
    expect(world.records.at(-1)?.data).toMatchObject({ reason: 'terms_changed' })
  })

  test('nodes count each other’s claims, and an operator ends them from anywhere', async () => {
    await world.addAgent('auditor')
    const { clock, processes } = world
    const elsewhere = claimWorld(at.store, { clock, processes, node: 'elsewhere' })
    const { claim } = await world.desk.claim(peer, { agent: 'auditor' })
    const other = processes.start(8, { uid: OWN_UID })
    await expect(elsewhere.desk.claim(other, { agent: 'auditor' })).rejects.toEqual(
      refused('claim_limit'),
    )
    await elsewhere.desk.open()
    expect(elsewhere.who({ ...peer })).toBe('anonymous') // the same numbers on another host
    const ended = await elsewhere.desk.revoke({ id: claim.id }, 'operator:ada')
    expect(ended.map(({ id }) => id)).toEqual([claim.id])
    expect(elsewhere.records.at(-1)).toMatchObject({
      action: 'identity_release',
      actor: 'operator:ada',
      durability: 'synced',
      data: { reason: 'operator', claim_id: claim.id },
    })
    await world.desk.recheck()
    expect(world.who(peer)).toBe('anonymous')
    await elsewhere.desk.claim(other, { agent: 'auditor' })
  })

  test('of claims that are asked for at once, no more are granted than there may be', async () => {
    await world.addAgent('auditor', { max_claims: 3 })
    const peers = Array.from({ length: 8 }, (_, index) =>
      world.processes.start(20 + index, { uid: OWN_UID }),
    )
    const outcomes = await Promise.allSettled(
      peers.map((one) => world.desk.claim(one, { agent: 'auditor' })),
    )
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(3)
    expect(world.book.size).toBe(3)
    expect(await world.desk.list()).toHaveLength(3)
  })

  test('a process asks once even when it asks on several connections', async () => {
    await world.addAgent('auditor', { max_claims: 9 })
    const outcomes = await Promise.allSettled(
      [{ ...peer }, { ...peer }, { ...peer }].map((one) =>
        world.desk.claim(one, { agent: 'auditor' }),
      ),
    )
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
  })

  test('agents are listed with what they may do, and nothing of who may claim them', async () => {
    await world.addAgent('auditor', { capabilities: ['read'], claim_policy: { uids: [5] } })
    await world.addAgent('committer')
    await world.addAgent('gone')
    await world.agents.disable('gone')
    expect(await world.desk.agents()).toEqual([
      { name: 'auditor', role: 'auditor-role', capabilities: ['read'] },
      { name: 'committer', role: 'committer-role', capabilities: [] },
    ])
  })

  test('terms that ask for more end the claims that have not shown it, and none of those is renewed', async () => {
    const agent = await world.addAgent('auditor', { max_claims: 3 })
    const shown = world.processes.start(8, { uid: OWN_UID })
    const { token } = await world.desk.issueToken(agent)
    const { claim } = await world.desk.claim(peer, { agent: 'auditor' })
    await world.desk.claim(shown, { agent: 'auditor', token })
    const policy = (claim_policy: object) =>
      world.terms.update(agent.id, () => acceptTerms({ max_claims: 3, claim_policy }))
    await policy({ require_token: true })
    await expect(world.desk.renew(peer, { id: claim.id, ttlSeconds: undefined })).rejects.toEqual(
      refused('not_permitted'),
    )
    await world.desk.recheck()
    expect([peer, shown].map(world.who)).toEqual(['anonymous', 'auditor'])
    // Known again after a restart.
    const { clock, processes } = world
    const again = claimWorld(at.store, { clock, processes })
    await again.desk.open()
    expect(again.who({ ...shown })).toBe('auditor')
    await policy({ exe_sha256: ['ab'.repeat(32)] })
    await again.desk.recheck()
    expect(again.who({ ...shown })).toBe('anonymous')
  })

  test('a process that becomes another program than the one that was listed is nobody', async () => {
    const claim_policy = { exe_sha256: ['ab'.repeat(32)] }
    await world.addAgent('auditor', { claim_policy, scope_allowed: 'tree' })
    await world.addAgent('anything')
    world.programs.set(7, { path: '/usr/bin/node', sha256: 'ab'.repeat(32), file: '1:1' })
    const child = world.processes.start(9, { uid: OWN_UID, parentPid: 7 })
    await world.desk.claim(peer, { agent: 'auditor', scope: 'tree' })
    expect([peer, child].map(world.who)).toEqual(['auditor', 'auditor'])
    world.processes.programs.set(7, '1:2')
    world.clock.pass(50)
    expect([child, peer].map(world.who)).toEqual(['anonymous', 'anonymous'])
    expect(world.records.at(-1)).toMatchObject({
      action: 'identity_exit',
      data: { reason: 'program_changed' },
    })
    // Whoever may be claimed by any program stays who it is.
    await world.desk.claim(peer, { agent: 'anything' })
    world.processes.programs.set(7, '1:3')
    world.clock.pass(50)
    expect(world.who(peer)).toBe('anything')
  })

  test('a replacement that cannot be recorded leaves the process what it was', async () => {
    await world.addAgent('auditor')
    await world.addAgent('committer')
    await world.desk.claim(peer, { agent: 'auditor' })
    world.auditFails = true
    await expect(world.desk.claim(peer, { agent: 'committer', replace: true })).rejects.toEqual(
      refused('unavailable'),
    )
    world.auditFails = false
    await world.desk.recheck()
    expect(world.who(peer)).toBe('auditor')
    expect((await world.desk.list()).map(({ claim }) => claim.agentName)).toEqual(['auditor'])
  })

  test('a claim that goes on after a restart is in the log, whatever came between its grant and its record', async () => {
    await world.addAgent('auditor')
    const { claim } = await world.desk.claim(peer, { agent: 'auditor' })
    const { clock, processes } = world
    const again = claimWorld(at.store, { clock, processes })
    await again.desk.open()
    expect(again.records).toMatchObject([
      { action: 'identity_claim', pid: 7, data: { claim_id: claim.id, resumed: true } },
    ])
  })

  test('a release that the disk refuses to take is told when it can be', async () => {
    await world.addAgent('auditor')
    await world.desk.claim(peer, { agent: 'auditor' })
    world.syncFails = true
    await expect(world.desk.release(peer, undefined)).rejects.toEqual(refused('unavailable'))
    expect(world.who(peer)).toBe('anonymous')
    expect(world.records.at(-2)).toMatchObject({
      action: 'identity_release',
      durability: 'written',
    })
  })
})
