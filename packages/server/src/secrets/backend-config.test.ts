import { VestryError } from '@vestry/contract/errors'
import { describe, expect, test } from 'vitest'
import { describeConfig, readBackendConfig } from './backend-config.ts'

const WHERE = { dataDir: '/home/v', hasMasterKey: false }
const read = (given: unknown, where = WHERE) => readBackendConfig(given, where, 'VALIDATION_ERROR')
const SECRETS = ['hvs.tok-8d21', 'sid-8d21', 'key-8d21']

function refusal(given: unknown): string {
  try {
    read(given)
  } catch (error) {
    if (error instanceof VestryError && error.code === 'VALIDATION_ERROR') return error.message
    throw error
  }
  return 'accepted'
}

/** As the published client sends it: every member, null for what is not set. */
const vault = (more: Record<string, unknown>) => ({
  backend_type: 'vault',
  vault_config: {
    url: 'https://vault.example.com:8200/',
    auth_method: 'token',
    token: null,
    role_id: null,
    secret_id: null,
    kubernetes_role: null,
    aws_role: null,
    ...more,
  },
  file_path: null,
  encryption_key: null,
})

describe('runtime §20.14: the configuration of a back end', () => {
  test('is read as the published client sends it', () => {
    expect(read(vault({ token: 'hvs.tok-8d21' }))).toEqual({
      type: 'vault',
      vault: {
        url: 'https://vault.example.com:8200',
        mount: 'secret',
        authMount: 'token',
        namespace: undefined,
        caFile: undefined,
        requestTimeoutMs: 30_000,
        auth: { method: 'token', token: 'hvs.tok-8d21' },
      },
    })
    const file = {
      backend_type: 'encrypted_file',
      vault_config: null,
      file_path: null,
      encryption_key: 'key-8d21',
    }
    expect(read(file)).toMatchObject({ path: '/home/v/secrets.enc', key: 'key-8d21' })
    expect(read({ ...file, file_path: '/srv/s.enc' })).toMatchObject({ path: '/srv/s.enc' })
    expect(read({ backend_type: 'os_keychain', file_path: null })).toEqual({ type: 'os_keychain' })
    expect(read({ backend_type: 'vestry' })).toEqual({ type: 'vestry' })
  })

  test('has a mount of its own for each login, unless another is named', () => {
    const mountOf = (more: Record<string, unknown>) => {
      const config = read(vault(more))
      return config.type === 'vault' ? config.vault.authMount : undefined
    }
    expect(mountOf({ auth_method: 'approle', role_id: 'r', secret_id: 's' })).toBe('approle')
    expect(mountOf({ auth_method: 'aws_iam', aws_role: 'r' })).toBe('aws')
    expect(mountOf({ auth_method: 'kubernetes', kubernetes_role: 'r', auth_mount: 'k8s/eu' })).toBe(
      'k8s/eu',
    )
  })

  test.each([
    ['another type', { backend_type: 'consul' }, 'backend_type'],
    ['no type', {}, 'backend_type: '],
    ['a list', [], 'expected object'],
    ['a misspelt member', { ...vault({ token: 't' }), filepath: 'x' }, 'filepath'],
    [
      'vault without its part',
      { backend_type: 'vault', vault_config: null },
      'vault_config: is required',
    ],
    [
      'a file with a part of vault',
      { ...vault({ token: 't' }), backend_type: 'encrypted_file', encryption_key: 'k' },
      'vault_config: does not belong',
    ],
    [
      'vault with a file',
      { ...vault({ token: 't' }), file_path: 'x' },
      'file_path: does not belong',
    ],
    [
      'a keychain with a key',
      { backend_type: 'os_keychain', encryption_key: 'k' },
      'encryption_key: does not belong',
    ],
    ['a file without a key', { backend_type: 'encrypted_file' }, 'encryption_key: is required'],
    [
      'two keys',
      { backend_type: 'encrypted_file', encryption_key: 'k', key_in_keychain: true },
      'encryption_key: is given',
    ],
    [
      'a path out of the home',
      { backend_type: 'encrypted_file', encryption_key: 'k', file_path: '../x' },
      'file_path',
    ],
    [
      'the home itself',
      { backend_type: 'encrypted_file', encryption_key: 'k', file_path: '.' },
      'file_path',
    ],
    ['a token login without a token', vault({}), 'vault_config.token: is required'],
    [
      'approle without its id',
      vault({ auth_method: 'approle', role_id: 'r' }),
      'vault_config.secret_id: is required',
    ],
    [
      'kubernetes without a role',
      vault({ auth_method: 'kubernetes' }),
      'vault_config.kubernetes_role: is required',
    ],
    ['aws without a role', vault({ auth_method: 'aws_iam' }), 'vault_config.aws_role: is required'],
    [
      'a login in the address',
      vault({ token: 't', url: 'https://u:hvs.tok-8d21@x' }),
      'vault_config.url',
    ],
    ['another scheme', vault({ token: 't', url: 'ftp://x' }), 'vault_config.url'],
    [
      'plain http over a network',
      vault({ token: 't', url: 'http://vault.internal:8200' }),
      'must be https',
    ],
    ['a mount that climbs', vault({ token: 't', mount: 'a/../b' }), 'mount'],
    ['a token with a line end', vault({ token: 'hvs.tok-8d21\n' }), 'token'],
  ])('with %s is refused, naming the member and no value', (_, given, told) => {
    const message = refusal(given)
    expect(message).toContain(told)
    for (const secret of SECRETS) expect(message).not.toContain(secret)
  })

  test('plain http is fine on this machine, and a key of the environment will do', () => {
    for (const url of ['http://127.0.0.1:8200', 'http://localhost:8200', 'http://[::1]:8200'])
      expect(read(vault({ token: 't', url }))).toMatchObject({ type: 'vault' })
    expect(
      read({ backend_type: 'encrypted_file' }, { ...WHERE, hasMasterKey: true }),
    ).toMatchObject({
      key: undefined,
    })
  })

  test('runtime §20.16: is told without tokens, ids and keys', () => {
    const approle = {
      auth_method: 'approle',
      role_id: 'r',
      secret_id: 'sid-8d21',
      namespace: 'team',
    }
    const told = JSON.stringify([
      describeConfig(read(vault({ token: 'hvs.tok-8d21' }))),
      describeConfig(read(vault(approle))),
      describeConfig(read({ backend_type: 'encrypted_file', encryption_key: 'key-8d21' })),
    ])
    expect(told).toContain('vault.example.com')
    for (const secret of SECRETS) expect(told).not.toContain(secret)
  })
})
