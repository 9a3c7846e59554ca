import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { VERSION } from '@vestry/contract/version'
import { SanctumClient } from '@vestry/sdk/vault'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { CliHome, finished } from './cli.test-kit.ts'

const SECRET = 'sk-live-5f1d7c9e'
const cli = new CliHome()

beforeAll(async () => {
  const made = await cli.run(['init', '--passphrase-file', cli.passphraseFile, '--json'])
  expect(made.exitCode, made.err).toBe(0)
  expect(made.json).toMatchObject({
    vault_id: expect.any(String),
    operator_key_file: join(cli.home, 'keys', 'operator.key'),
    slots: [{ type: 'passphrase' }],
  })
  const { line } = await cli.up()
  expect(line).toMatch(/^ready {2}http:\/\/127\.0\.0\.1:\d+ .*\n$/)
})

afterAll(() => cli[Symbol.asyncDispose]())

const keys = () => readdirSync(join(cli.home, 'keys')).sort()

describe('agents', () => {
  test('add makes a private key file and registers the public half', async () => {
    const { exitCode, json } = await cli.json([
      'agent',
      'add',
      'scout',
      '--role',
      'researcher',
      '--meta',
      'team=a',
    ])
    expect(exitCode).toBe(0)
    expect(json).toMatchObject({
      name: 'scout',
      role: 'researcher',
      status: 'enabled',
      meta: { team: 'a' },
      spiffe_id: `spiffe://sage-sanctum.local/agent/${json.id}`,
      key_file: join(cli.home, 'keys', 'scout.key'),
      public_key: expect.stringMatching(/^[0-9a-f]{64}$/),
      fingerprint: expect.stringMatching(/^ed25519:[0-9a-f]{32}$/),
    })
    expect(statSync(json.key_file).mode & 0o777).toBe(0o600)
    const seed = readFileSync(json.key_file, 'utf8')
    expect(JSON.stringify(json)).not.toContain(seed)
    expect(readFileSync(join(cli.home, 'audit', 'audit.jsonl'), 'utf8')).not.toContain(seed)
  })

  test('a name that is taken leaves no key file behind', async () => {
    const { exitCode, json } = await cli.json([
      'agent',
      'add',
      'scout',
      '--out',
      join(cli.base, 'elsewhere'),
    ])
    expect(json.error.code).toBe('CONFLICT')
    expect(exitCode).toBe(1)
    expect(readdirSync(join(cli.base, 'elsewhere'))).toEqual([])
  })

  test('a malformed name and a weak key are bad usage', async () => {
    expect(await cli.json(['agent', 'add', '../up'])).toMatchObject({ exitCode: 2 })
    const weak = await cli.json(['agent', 'add', 'weak', '--public-key', '00'.repeat(32)])
    expect(weak.json.error.code).toBe('INVALID_PARAMS')
    expect(keys()).not.toContain('weak.key')
  })

  test('an encrypted key opens with the passphrase that was shown once', async () => {
    const { json } = await cli.json(['agent', 'add', 'sealed', '--encrypt'])
    expect(json.key_file).toMatch(/sealed\.key\.enc$/)
    expect(json.passphrase).toMatch(/^[\w-]{32}$/)
    const passphrase = cli.file('sealed.pass', `${json.passphrase}\n`)
    const env = await cli.json(['agent', 'env', 'sealed', '--passphrase-file', passphrase])
    expect(env.json).toMatchObject({
      GATEWAY_URL: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
      AGENT_ID: json.id,
      AGENT_PRIVATE_KEY: expect.stringMatching(/^-----BEGIN PRIVATE KEY-----\n/),
    })
    const wrong = await cli.json([
      'agent',
      'env',
      'sealed',
      '--passphrase-file',
      cli.passphraseFile,
    ])
    expect(wrong.json.error.code).toBe('AUTH_FAILED')
  })

  test('rotate sets the old file aside, and puts it back when the daemon refuses', async () => {
    const path = join(cli.home, 'keys', 'scout.key')
    const before = readFileSync(path, 'utf8')
    const { json } = await cli.json(['agent', 'rotate', 'scout', '--overlap', '5m'])
    expect(json.keys.map((key: { status: string }) => key.status)).toEqual(['active', 'retiring'])
    expect(readFileSync(path, 'utf8')).not.toBe(before)
    expect(readFileSync(`${path}.old`, 'utf8')).toBe(before)
    await cli.json(['agent', 'revoke', 'sealed'])
    const refused = await cli.json(['agent', 'rotate', 'sealed'])
    expect(refused.json.error.code).toBe('NOT_FOUND')
    expect(keys()).toContain('sealed.key.enc')
    expect(keys().filter((name) => name.startsWith('sealed') && name.endsWith('.old'))).toEqual([])
  })

  test('list, show, disable and enable', async () => {
    expect((await cli.json(['agent', 'disable', 'scout'])).json.status).toBe('disabled')
    expect((await cli.json(['agent', 'enable', 'scout'])).json.status).toBe('enabled')
    const { agents } = (await cli.json(['agent', 'list'])).json
    expect(agents.map(({ name }: { name: string }) => name)).toEqual(['scout'])
    expect((await cli.vestry(['agent', 'show', 'scout'])).out).toContain('researcher')
    expect((await cli.json(['agent', 'show', 'nobody'])).json.error.code).toBe('NOT_FOUND')
  })
})

describe('credentials', () => {
  test('a value that is empty, too large, or may go anywhere is told', async () => {
    const empty = await cli.vestry(['cred', 'add', 'odd/empty', '--value-stdin', '--host', '*'])
    expect(empty.exitCode).toBe(0)
    expect(empty.err).toContain('warning: the value is empty\n')
    expect(empty.err).toContain('warning: --host "*" leaves it to policies alone')
    const large = await cli.vestry(
      ['cred', 'add', 'odd/large', '--value-stdin'],
      'x'.repeat(65_537),
    )
    expect(large.err).toBe(
      'INVALID_PARAMS: the value is larger than 65536 bytes → Check that this is the right file or input\n',
    )
    expect(large.exitCode).toBe(2)
    await cli.json(['cred', 'destroy', 'odd/empty', '--yes'])
  })

  test('a value from a file, one line end less, with everything known about it', async () => {
    const value = cli.file('value', `${SECRET}\n`)
    const added = await cli.json([
      ...['cred', 'add', 'openai/key', '--value-file', value, '--type', 'api_key'],
      ...['--host', 'api.openai.com', '--tag', 'prod', '--meta', 'owner=ml'],
      ...['--inject', 'custom:X-Api-Key', '--lock-injection', '--expires', '2099-01-01'],
    ])
    expect(added.err).toContain('One line end was taken off')
    expect(added.json).toMatchObject({
      path: 'openai/key',
      version: 1,
      tags: ['prod'],
      metadata: { owner: 'ml' },
      expires_at: '2099-01-01T00:00:00.000Z',
      settings: {
        allowed_hosts: ['api.openai.com'],
        inject: { header_type: 'custom', header_name: 'X-Api-Key', locked: true },
      },
    })
    const shown = await cli.json(['cred', 'reveal', 'openai/key'])
    expect(shown.json).toEqual({ path: 'openai/key', version: 1, encoding: 'utf8', value: SECRET })
    expect((await cli.json(['cred', 'show', 'openai/key'])).out).not.toContain(SECRET)
  })

  test('versions: rotate, rollback, expected version, destroy', async () => {
    expect(
      (await cli.json(['cred', 'rotate', 'openai/key', '--value-stdin'], 'second')).json.version,
    ).toBe(2)
    expect((await cli.json(['cred', 'rollback', 'openai/key', '--to', '1'])).json.version).toBe(3)
    const raced = await cli.json(
      ['cred', 'add', 'openai/key', '--value-stdin', '--expected-version', '1'],
      'x',
    )
    expect(raced).toMatchObject({ exitCode: 1, json: { error: { code: 'CONFLICT' } } })
    const missing = await cli.json(['cred', 'rotate', 'no/such', '--value-stdin'], 'x')
    expect(missing.json.error.code).toBe('NOT_FOUND')
    const destroyed = await cli.json(['cred', 'destroy', 'openai/key', '--versions', '2'])
    expect(destroyed.json).toMatchObject({ destroyed: [2] })
  })

  test('generated keys, a binary value, and a warning for a short key', async () => {
    const made = await cli.json(['cred', 'add', 'keys/sign', '--generate', 'ed25519'])
    expect(made.json).toMatchObject({
      type: 'signing_key',
      public_key: expect.stringMatching(/^[0-9a-f]{64}$/),
    })
    const bytes = cli.file('bytes', new Uint8Array([0, 255, 10]))
    await cli.json(['cred', 'add', 'keys/raw', '--value-file', bytes, '--raw'])
    expect((await cli.json(['cred', 'reveal', 'keys/raw'])).json).toMatchObject({
      encoding: 'hex',
      value: '00ff0a',
    })
    const short = await cli.json(
      ['cred', 'add', 'keys/mac', '--value-stdin', '--type', 'hmac_key'],
      'short',
    )
    expect(short.err).toContain('5 bytes; fewer than 16')
  })

  test('amend, rm, undelete, list', async () => {
    const amended = await cli.json([
      'cred',
      'amend',
      'openai/key',
      '--description',
      'the key',
      '--use-only',
    ])
    expect(amended.json).toMatchObject({ description: 'the key', settings: { use_only: true } })
    expect(amended.json.settings.allowed_hosts).toEqual(['api.openai.com'])
    await cli.json(['cred', 'amend', 'openai/key', '--no-use-only'])
    expect((await cli.json(['cred', 'rm', 'keys/raw'])).json.deleted_at).toEqual(expect.any(String))
    expect((await cli.json(['cred', 'undelete', 'keys/raw'])).json.deleted_at).toBeNull()
    const { credentials } = (await cli.json(['cred', 'list', '--prefix', 'keys/'])).json
    expect(credentials.map(({ path }: { path: string }) => path)).toEqual([
      'keys/mac',
      'keys/raw',
      'keys/sign',
    ])
  })

  test('import: dry run, outcomes, conflicts', async () => {
    const file = cli.file('a.env', 'ONE=1\nTWO="2 2"\n')
    const dry = await cli.json(['cred', 'import', file, '--prefix', 'imp', '--dry-run'])
    expect(dry.json).toMatchObject({ dry_run: true, total: 2 })
    expect((await cli.json(['cred', 'show', 'imp/ONE'])).exitCode).toBe(1)
    const done = await cli.json(['cred', 'import', file, '--prefix', 'imp'])
    expect(done.json.entries).toEqual([
      { path: 'imp/ONE', outcome: 'created', version: 1 },
      { path: 'imp/TWO', outcome: 'created', version: 1 },
    ])
    expect((await cli.json(['cred', 'reveal', 'imp/TWO'])).json.value).toBe('2 2')
    const again = await cli.json(['cred', 'import', file, '--prefix', 'imp'])
    expect(again).toMatchObject({ exitCode: 1, json: { error: { code: 'CONFLICT' } } })
    const over = await cli.json([
      'cred',
      'import',
      file,
      '--prefix',
      'imp',
      '--on-conflict',
      'overwrite',
    ])
    expect(over.json.entries[0]).toEqual({ path: 'imp/ONE', outcome: 'updated', version: 2 })
    const bad = cli.file('bad.json', '{"ok/path":"1","not//a path":"2"}')
    const partly = await cli.json(['cred', 'import', bad, '--on-conflict', 'skip'])
    expect(partly.exitCode).toBe(1)
    expect(partly.json).toMatchObject({ failed: 1 })
  })
})

describe('policies, and what agents do under them', () => {
  test('add, list, show, and one that is wrong', async () => {
    const file = cli.file(
      'research.yaml',
      [
        'name: research',
        'principals: ["agent:sc*"]',
        'resources: ["openai/*"]',
        'actions: [list, retrieve]',
        'max_ttl: 900',
      ].join('\n'),
    )
    expect((await cli.json(['policy', 'add', file])).json.created).toEqual(['vault:research'])
    expect((await cli.json(['policy', 'list'])).json.policies).toContainEqual(
      expect.objectContaining({ id: 'vault:research', format: 'vault', enabled: true }),
    )
    expect((await cli.vestry(['policy', 'show', 'research'])).out).toContain('PathGlob::"openai/*"')
    const wrong = await cli.json([
      'policy',
      'add',
      cli.file('wrong.yaml', 'name: x\nresorces: []\n'),
    ])
    expect(wrong).toMatchObject({ exitCode: 1, json: { error: { code: 'POLICY_INVALID' } } })
    const wide = [
      'policy',
      'add',
      'wide',
      '--principal',
      'agent:nobody',
      '--resources',
      'a/*',
      '--actions',
      '*',
    ]
    expect((await cli.json(wide)).json.error.message).toContain('--i-understand')
    expect((await cli.json([...wide, '--i-understand'])).exitCode).toBe(0)
    expect((await cli.json(['policy', 'rm', 'wide'])).json.removed).toEqual(['vault:wide'])
  })

  test('vault §28.54: policy test explains, and ends with 3 for a no', async () => {
    const question = ['policy', 'test', '--agent', 'scout', '--path', 'openai/key', '--action']
    const yes = await cli.json([...question, 'retrieve'])
    expect(yes).toMatchObject({ exitCode: 0, json: { allowed: true, granted_ttl: 900 } })
    const no = await cli.vestry([...question, 'store'])
    expect(no.exitCode).toBe(3)
    expect(no.out).toMatch(/^DENY {2}scout {2}store {2}openai\/key\n/)
    const simulated = await cli.json(['policy', 'simulate', ...question.slice(2), 'store'])
    expect(simulated).toMatchObject({ exitCode: 3, json: { allowed: false } })
  })

  test('a gateway policy is made of a template, tried on a tool, listed with its owner, removed', async () => {
    const { role: _, ...template } = (await cli.json(['policy', 'template', 'sdk_demo'])).json
    const document = { ...template, agent: 'scout', name: 'Trying' }
    const file = cli.file('trying.json', JSON.stringify(document))
    const { created } = (await cli.json(['policy', 'add', file])).json
    expect((await cli.json(['policy', 'add', file])).json.unchanged).toEqual(created)
    const { policies } = (await cli.json(['policy', 'list'])).json
    expect(policies).toContainEqual(
      expect.objectContaining({ id: created[0], name: 'Trying', owner: 'agent scout' }),
    )
    expect((await cli.vestry(['policy', 'list'])).out).toContain('agent scout')

    const question = ['policy', 'test', '--agent', 'scout', '--tool', 'http_fetch', '--action']
    const to = (host: string) => ['--params', JSON.stringify({ url: `https://${host}/` })]
    const yes = await cli.json([...question, 'get', ...to('www.example.com')])
    expect(yes).toMatchObject({ exitCode: 0, json: { allowed: true, granted_ttl: null } })
    const no = await cli.vestry([...question, 'get', ...to('notexample.com')])
    expect(no.exitCode).toBe(3)
    expect(no.out).toMatch(/^DENY {2}scout {2}get {2}http_fetch\n/)
    expect(no.out).toContain('DOMAIN_NOT_ALLOWED')
    const both = await cli.json([...question, 'get', '--path', 'openai/key'])
    expect(both.json.error.code).toBe('USAGE')
    const mcp = ['policy', 'test', '--agent', 'scout', '--tool', 'mcp/notes', '--action', 'append']
    expect((await cli.json([...mcp, '--params', '{"url":"no url"}'])).json).toMatchObject({
      allowed: false,
      reason: 'no rule allows mcp:call here',
    })
    const runs = (whom: string) => cli.json(['policy', 'test', '--agent', 'scout', '--runs', whom])
    expect(await runs('scout')).toMatchObject({
      exitCode: 0,
      json: { permits: ['builtin:run-itself'] },
    })
    expect((await runs('somebody-else')).exitCode).toBe(3)
    expect((await cli.json(['policy', 'template', 'nope'])).json.error.code).toBe('NOT_FOUND')
    expect((await cli.json(['policy', 'rm', 'Trying'])).json.removed).toEqual(created)
  })

  test('leases, sessions, trace and why show what an agent did', async () => {
    await using client = new SanctumClient('scout', {
      socketPath: join(cli.home, 'run', 'vault.sock'),
      keyPath: join(cli.home, 'keys', 'scout.key'),
    })
    await client.connect()
    await client.retrieve('openai/key')
    const denied = await client.retrieve('keys/sign').catch((error) => error)
    const { leases } = (await cli.json(['lease', 'list', '--agent', 'scout'])).json
    expect(leases).toMatchObject([
      { path: 'openai/key', policy: expect.stringContaining('research') },
    ])
    const { sessions } = (await cli.json(['session', 'list', '--agent', 'scout'])).json
    const [{ txn }] = sessions

    const traced = await cli.vestry(['trace', txn])
    expect(traced.out).toMatch(/decision {2}allow {2}allowed by "vault:research"/)
    expect(traced.out).toMatch(/lease {2}hmac:[0-9a-f]{32}/)
    expect(traced.out).toMatch(/decision {2}deny/)
    expect((await cli.json(['trace', txn])).json.actors).toContain('agent:scout')
    const why = await cli.vestry(['why', denied.context.request_id])
    expect(why.out).toMatch(/^DENIED {2}agent:scout/)
    expect((await cli.json(['why', 'dec_none'])).json.error.code).toBe('NOT_FOUND')

    expect((await cli.json(['lease', 'revoke', leases[0].lease_id])).json).toEqual({ revoked: 1 })
    expect((await cli.json(['lease', 'revoke', leases[0].lease_id])).json.error.code).toBe(
      'NOT_FOUND',
    )
    expect((await cli.json(['session', 'revoke', txn])).json).toEqual({ ended: 1 })
    expect((await cli.json(['approval', 'list'])).json).toEqual({ approvals: [] })

    const hashed = await cli.json(['audit', 'hash', '--value-stdin'], leases[0].lease_id)
    expect(readFileSync(join(cli.home, 'audit', 'audit.jsonl'), 'utf8')).toContain(hashed.json.hash)
  })
})

describe('operators, keys, record', () => {
  test('an auditor reads and is refused the rest with exit code 3', async () => {
    const { json } = await cli.json(['operator', 'add', 'ada', '--role', 'auditor'])
    expect(json).toMatchObject({
      name: 'ada',
      key_file: join(cli.home, 'keys', 'operator-ada.key'),
    })
    expect((await cli.json(['agent', 'list', '--operator', 'ada'])).exitCode).toBe(0)
    const refused = await cli.json(['agent', 'add', 'zed', '--operator', 'ada'])
    expect(refused).toMatchObject({ exitCode: 3, json: { error: { code: 'ACCESS_DENIED' } } })
    expect(keys()).not.toContain('zed.key')
    expect((await cli.json(['operator', 'revoke', 'ada'])).exitCode).toBe(0)
    expect((await cli.json(['agent', 'list', '--operator', 'ada'])).json.error.code).toBe(
      'AUTH_FAILED',
    )
    expect((await cli.json(['operator', 'list'])).json.operators.length).toBeGreaterThanOrEqual(1)
  })

  test('API keys are shown once', async () => {
    const { json } = await cli.json(['key', 'add', '--role', 'auditor', '--name', 'ci'])
    expect(json.key).toMatch(/^key_[0-9a-f]{16}\.[\w-]{43}$/)
    expect((await cli.json(['key', 'list'])).out).not.toContain(json.key.split('.')[1])
    expect((await cli.json(['key', 'revoke', json.key])).json).toEqual({
      id: json.id,
      revoked: true,
    })
  })

  test('tail, query, verify and export', async () => {
    const { records } = (await cli.json(['audit', 'tail', '-n', '3'])).json
    expect(records).toHaveLength(3)
    const found = await cli.json([
      'audit',
      'query',
      '--action',
      'agent.register',
      '--since',
      '1h',
      '--limit',
      '1',
    ])
    expect(found.json.records).toHaveLength(1)
    expect((await cli.json(['audit', 'verify'])).json).toMatchObject({
      status: 'intact',
      signatures: 'checked',
    })
    const local = await cli.json(['audit', 'verify', '--dir', join(cli.home, 'audit')])
    expect(local.json, 'with the key in server.pub').toMatchObject({
      status: 'intact',
      signatures: 'checked',
    })
    expect((await cli.json(['audit', 'checkpoint'])).exitCode).toBe(0)
    const out = join(cli.base, 'export.jsonl')
    const exported = await cli.json(['audit', 'export', '--from', '1', '--to', '5', '--out', out])
    expect(exported.json).toMatchObject({ file: out })
    const lines = readFileSync(out, 'utf8').trimEnd().split('\n')
    expect(JSON.parse(lines.at(-1) ?? '')).toHaveProperty('audit_export')
    expect((await cli.json(['audit', 'export', '--out', out])).json.error.code).toBe('CONFLICT')
    expect((await cli.json(['audit', 'prune', '--before', '90d'])).json.files).toEqual([])
  })

  test('tail --follow prints one document per line and ends well when interrupted', async () => {
    const child = cli.spawn(['audit', 'tail', '-n', '1', '-f', '--json'])
    const ended = finished(child)
    const seen = new Promise<void>((resolve) => {
      child.stdout?.on('data', (chunk: Buffer) => {
        if (chunk.includes('agent.disable')) resolve()
      })
    })
    await new Promise((resolve) => child.stdout?.once('data', resolve))
    await cli.json(['agent', 'disable', 'scout'])
    await cli.json(['agent', 'enable', 'scout'])
    await seen
    child.kill('SIGINT')
    const { exitCode, out, err } = await ended
    expect({ exitCode, err }).toEqual({ exitCode: 0, err: '' })
    const actions = out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).action)
    expect(actions).toContain('agent.disable')
  })

  test('status and doctor see the whole', async () => {
    const status = await cli.json(['status'])
    expect(status.json).toMatchObject({ sealed: false, version: VERSION, home: cli.home })
    const { out } = await cli.vestry(['status'])
    expect(out).toMatch(/^unsealed\ndaemon +version .*, process \d+/)
    expect(out).toMatch(/^audit log +writable, \d+ records$/m)
    expect(out).toMatch(/^holds +\d+ credentials?, \d+ agents?, \d+ polic/m)
    const { json } = await cli.json(['doctor'])
    expect(json.checks).toContainEqual(expect.objectContaining({ name: 'slots', status: 'warn' }))
    expect(json.checks.filter(({ status }: { status: string }) => status === 'fail')).toEqual([])
  })
})

describe('the process', () => {
  test('vault §28.54: a secret is in no argument and no environment of any process', async () => {
    const child = cli.spawn(['cred', 'add', 'ps/test', '--value-stdin', '--json'])
    const ended = finished(child)
    await sleep(300)
    const visible = ['cmdline', 'environ'].map((name) =>
      readFileSync(`/proc/${child.pid}/${name}`, 'latin1'),
    )
    child.stdin?.write('tell-no-one')
    await sleep(50)
    visible.push(
      ...['cmdline', 'environ'].map((name) => readFileSync(`/proc/${child.pid}/${name}`, 'latin1')),
    )
    child.stdin?.end()
    const { exitCode, json } = await ended
    expect({ exitCode, path: json.path }).toEqual({ exitCode: 0, path: 'ps/test' })
    expect(visible.join('\n')).not.toContain('tell-no-one')
    expect((await cli.json(['cred', 'reveal', 'ps/test'])).json.value).toBe('tell-no-one')
  })

  test('with --json stdout is one document and nothing else; without it data and prose are apart', async () => {
    const { exitCode, out, err } = await cli.run(['agent', 'list', '--json'])
    expect({ exitCode, err }).toEqual({ exitCode: 0, err: '' })
    expect(JSON.parse(out).agents).toHaveLength(1)
    const failed = await cli.run(['agent', 'show', 'nobody'])
    expect(failed).toMatchObject({ exitCode: 1, out: '' })
    expect(failed.err).toMatch(/^NOT_FOUND: .* → See "vestry agent list"\n$/)
  })

  test('a second vault in the same home is refused, running or not', async () => {
    const again = await cli.run(['init', '--passphrase-file', cli.passphraseFile, '--json'])
    expect(again).toMatchObject({ exitCode: 1, json: { error: { code: 'CONFLICT' } } })
    const second = await cli.run(['up', '--port', '0', '--passphrase-file', cli.passphraseFile])
    expect(second.exitCode).toBe(1)
    expect(second.err).toContain('INSTANCE_RUNNING')
  })
})
