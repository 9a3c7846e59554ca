/** One text per rule that holds a secret, and one that nearly does. All of them are made up here. */

export interface RuleSample {
  readonly rule: string
  readonly hit: string
  /** What must be gone; default: the whole text. */
  readonly secret?: string
  readonly miss: string
}

const A = 'a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0u1V2w3X4y5Z6'
const HEX = '0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef'

const first = (count: number) => A.slice(0, count)

export const RULE_SAMPLES: readonly RuleSample[] = [
  { rule: 'openai', hit: `sk-${first(20)}`, miss: `sk-${first(19)}` },
  { rule: 'openai', hit: `sk-proj-${first(10)}_-${first(8)}`, miss: `sk-proj-${first(19)}` },
  { rule: 'openai', hit: `sk-svcacct-${first(20)}`, miss: `sk-svcacct-${first(12)}` },
  { rule: 'openai', hit: `sk-admin-${first(20)}`, miss: `task-${first(24)}` },
  { rule: 'anthropic', hit: `sk-ant-${first(20)}`, miss: `sk-ant-${first(19)}` },
  ...['AKIA', 'ASIA', 'AGPA', 'AIDA', 'AROA'].map((prefix) => ({
    rule: 'aws-id',
    hit: `${prefix}IOSFODNN7EXAMPLE`,
    miss: `${prefix}IOSFODNN7EXAMPL`,
  })),
  ...['ghp_', 'gho_', 'ghu_', 'ghs_', 'ghr_'].map((prefix) => ({
    rule: 'github',
    hit: prefix + first(36),
    miss: prefix + first(35),
  })),
  { rule: 'github', hit: `github_pat_${first(22)}`, miss: `github_pat_${first(21)}` },
  ...['glpat-', 'glptt-', 'gldt-', 'glrt-', 'glcbt-', 'glsoat-'].map((prefix) => ({
    rule: 'gitlab',
    hit: prefix + first(20),
    miss: prefix + first(19),
  })),
  ...['xoxa-', 'xoxb-', 'xoxe-', 'xoxo-', 'xoxp-', 'xoxr-', 'xoxs-', 'xapp-'].map((prefix) => ({
    rule: 'slack',
    hit: `${prefix}1234567890`,
    miss: `${prefix}123456789`,
  })),
  {
    rule: 'slack',
    hit: 'https://hooks.slack.com/services/T000/B000/abcdef',
    secret: 'T000/B000/abcdef',
    miss: 'https://hooks.slack.com/docs/T000/B000/abcdef',
  },
  { rule: 'google', hit: `AIza${first(35)}`, miss: `AIza${first(34)}` },
  { rule: 'google', hit: `ya29.${first(20)}`, miss: `ya29.${first(19)}` },
  { rule: 'google', hit: `GOCSPX-${first(20)}`, miss: `GOCSPX-${first(19)}` },
  ...['sk_live_', 'sk_test_', 'rk_live_', 'rk_test_'].map((prefix) => ({
    rule: 'stripe',
    hit: prefix + first(16),
    miss: prefix + first(15),
  })),
  { rule: 'stripe', hit: `whsec_${first(24)}`, miss: `whsec_${first(23)}` },
  { rule: 'hf', hit: `hf_${first(30)}`, miss: `hf_${first(29)}` },
  { rule: 'groq', hit: `gsk_${first(40)}`, miss: `gsk_${first(39)}` },
  { rule: 'xai', hit: `xai-${first(40)}`, miss: `xai-${first(39)}` },
  { rule: 'replicate', hit: `r8_${first(30)}`, miss: `r8_${first(29)}` },
  { rule: 'perplexity', hit: `pplx-${first(40)}`, miss: `pplx-${first(39)}` },
  { rule: 'pkg', hit: `npm_${first(36)}`, miss: `npm_${first(35)}` },
  { rule: 'pkg', hit: `pypi-${first(50)}`, miss: `pypi-${first(49)}` },
  {
    rule: 'sendgrid',
    hit: `SG.${first(22)}.${first(43)}`,
    miss: `SG.${first(21)}.${first(43)}`,
  },
  { rule: 'twilio', hit: `SK${HEX.slice(0, 32)}`, miss: `SK${HEX.slice(0, 31)}` },
  { rule: 'mailgun', hit: `key-${HEX.slice(0, 32)}`, miss: `monkey-${HEX.slice(0, 32)}` },
  { rule: 'cloud', hit: `dop_v1_${HEX}`, miss: `dop_v1_${HEX.slice(1)}` },
  { rule: 'cloud', hit: `dapi${HEX.slice(0, 32)}`, miss: `dapi${HEX.slice(0, 31)}` },
  { rule: 'cloud', hit: `hvs.${first(20)}`, miss: `hvs.${first(19)}` },
  { rule: 'cloud', hit: `hvb.${first(20)}`, miss: `hvx.${first(20)}` },
  {
    rule: 'cloud',
    hit: 'AccountName=box;AccountKey=Zm9vYmFyYmF6+/==;EndpointSuffix=core',
    secret: 'Zm9vYmFyYmF6+/==',
    miss: 'AccountName=box;AccountKind=StorageV2;EndpointSuffix=core',
  },
  {
    rule: 'cloud',
    hit: 'BlobEndpoint=b;SharedAccessSignature=sv=2020&sr=b&se=9',
    secret: 'sv=2020&sr=b&se=9',
    miss: 'a SharedAccessSignature is a text',
  },
  {
    rule: 'cloud',
    hit: 'sr=x sig=abcdefghijklmnop%3D se=1',
    secret: 'abcdefghijklmnop%3D',
    miss: 'sr=x sig=short se=1',
  },
  {
    rule: 'age',
    hit: `AGE-SECRET-KEY-1${'QPZRY9X8GF'.repeat(6).slice(0, 58)}`,
    miss: `AGE-SECRET-KEY-1${'QPZRY9X8GF'.repeat(6).slice(0, 57)}`,
  },
  {
    rule: 'pem',
    hit: '-----BEGIN RSA PRIVATE KEY-----\nMIIEabc\n-----END RSA PRIVATE KEY-----',
    miss: '-----BEGIN CERTIFICATE-----\nMIIEabc\n-----END CERTIFICATE-----',
  },
  {
    rule: 'pem',
    hit: '-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbn without an end',
    miss: '-----BEGIN PUBLIC KEY-----\nMIIEabc',
  },
  {
    rule: 'pem',
    hit: '-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQOY\n-----END PGP PRIVATE KEY BLOCK-----',
    miss: '-----BEGIN PGP PUBLIC KEY BLOCK-----',
  },
  {
    rule: 'jwt',
    hit: 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl',
    miss: 'eyJhbGciOiJIUzI1NiJ9.bm90LWpzb24.c2lnbmF0dXJl',
  },
  { rule: 'jwt', hit: 'eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.', miss: 'eyJhbGciOiJub25lIn0' },
  ...['Bearer', 'Basic', 'Token', 'Digest', 'Negotiate', 'bearer', 'BASIC'].map((scheme) => ({
    rule: 'auth-header',
    hit: `${scheme} abcdef12`,
    miss: `${scheme} abcdef1`,
  })),
  {
    rule: 'url-userinfo',
    hit: 'postgres://admin:hunter2@db.example.com/main',
    secret: 'admin:hunter2',
    miss: 'https://admin@example.com:8080/main',
  },
  {
    rule: 'url-userinfo',
    hit: 'redis://:s3cr3t@cache:6379',
    secret: 's3cr3t',
    miss: 'https://example.com:8080/path@v1',
  },
  ...'token key sig signature access_token refresh_token id_token api_key apikey password secret code'
    .split(' ')
    .map((name) => ({
      rule: 'url-param',
      hit: `https://example.com/cb?a=1&${name}=hunter2&b=2`,
      secret: 'hunter2',
      miss: `https://example.com/cb?a=1&my${name}x=hunter2&b=2`,
    })),
  {
    rule: 'url-param',
    hit: 'https://example.com/#access_token=hunter2',
    secret: 'hunter2',
    miss: 'the code=hunter2 of a text',
  },
  {
    rule: 'cookie',
    hit: 'GET /\r\nCookie: sid=hunter2; theme=dark\r\nHost: x',
    secret: 'sid=hunter2; theme=dark',
    miss: 'a cookie without a colon',
  },
  {
    rule: 'cookie',
    hit: 'set-cookie: sid=hunter2; HttpOnly',
    secret: 'sid=hunter2',
    miss: 'cookies: 3',
  },
  { rule: 'card', hit: '4111 1111 1111 1111', miss: '4111 1111 1111 1112' },
  { rule: 'card', hit: '5555555555554444', miss: '5555555555554445' },
  { rule: 'card', hit: '3782-822463-10005', miss: '1700000000008' },
  { rule: 'iban', hit: 'DE89 3704 0044 0532 0130 00', miss: 'DE88 3704 0044 0532 0130 00' },
  { rule: 'iban', hit: 'GB82WEST12345698765432', miss: 'GB82WEST1234569876543' },
  { rule: 'ssn', hit: '123-45-6789', miss: '000-45-6789' },
  { rule: 'ssn', hit: '078-05-1120', miss: '123-45-67890' },
]

export const ENTROPY_SAMPLES: readonly RuleSample[] = [
  {
    rule: 'entropy',
    hit: 'kJ8vQ2xZ7nR4tY1wB6mC9pL3sD5fG0hA',
    miss: 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',
  },
  {
    rule: 'entropy',
    hit: '9f2c41d07be8a6103c5d8e7f1a2b4c6d',
    miss: '0000000011111111000000001111111100',
  },
]
