/**
 * Secrets that have a shape of their own: the literal that begins them, and what follows it. No shape
 * repeats a repetition, and a failure costs a bounded number of characters, or those up to the next
 * place where the same shape could begin: so all of them together are linear.
 */

export interface TokenRule {
  readonly rule: string
  /** Literals that lie at the beginning of every match. */
  readonly anchors: readonly string[]
  /** Sticky; begins with the anchor. */
  readonly shape: RegExp
  /** The anchor is so short that it must not be the end of a word. */
  readonly wordStart?: true
  /** What stays: the secret begins behind this. */
  readonly keep?: RegExp
}

/** Where two begin alike, the first one counts. */
export const TOKEN_RULES: readonly TokenRule[] = [
  { rule: 'anthropic', anchors: ['sk-ant-'], shape: /sk-ant-[\w-]{20,}/y },
  {
    rule: 'openai',
    anchors: ['sk-proj-', 'sk-svcacct-', 'sk-admin-'],
    shape: /sk-(?:proj|svcacct|admin)-[\w-]{20,}/y,
  },
  { rule: 'openai', anchors: ['sk-'], shape: /sk-[A-Za-z0-9]{20,}/y, wordStart: true },
  {
    rule: 'aws-id',
    anchors: ['AKIA', 'ASIA', 'AGPA', 'AIDA', 'AROA'],
    shape: /A(?:KIA|SIA|GPA|IDA|ROA)[A-Z0-9]{16}/y,
  },
  {
    rule: 'github',
    anchors: ['ghp_', 'gho_', 'ghu_', 'ghs_', 'ghr_'],
    shape: /gh[pousr]_[A-Za-z0-9]{36,255}/y,
  },
  { rule: 'github', anchors: ['github_pat_'], shape: /github_pat_\w{22,}/y },
  {
    rule: 'gitlab',
    anchors: ['glpat-', 'glptt-', 'gldt-', 'glrt-', 'glcbt-', 'glsoat-'],
    shape: /gl(?:pat|ptt|dt|rt|cbt|soat)-[\w-]{20,}/y,
  },
  {
    rule: 'slack',
    anchors: ['xoxa-', 'xoxb-', 'xoxe-', 'xoxo-', 'xoxp-', 'xoxr-', 'xoxs-', 'xapp-'],
    shape: /(?:xox[abeoprs]|xapp)-[\w-]{10,}/y,
  },
  {
    rule: 'slack',
    anchors: ['hooks.slack.'],
    shape: /hooks\.slack\.com\/(?:services|workflows|triggers)\/[\w/-]+/y,
  },
  { rule: 'google', anchors: ['AIza'], shape: /AIza[\w-]{35}/y },
  { rule: 'google', anchors: ['ya29.'], shape: /ya29\.[\w.-]{20,}/y },
  { rule: 'google', anchors: ['GOCSPX-'], shape: /GOCSPX-[\w-]{20,}/y },
  {
    rule: 'stripe',
    anchors: ['sk_live_', 'sk_test_', 'rk_live_', 'rk_test_'],
    shape: /[sr]k_(?:live|test)_[A-Za-z0-9]{16,}/y,
  },
  { rule: 'stripe', anchors: ['whsec_'], shape: /whsec_[A-Za-z0-9+/=]{24,}/y },
  { rule: 'hf', anchors: ['hf_'], shape: /hf_[A-Za-z0-9]{30,}/y },
  { rule: 'groq', anchors: ['gsk_'], shape: /gsk_[A-Za-z0-9]{40,}/y },
  { rule: 'xai', anchors: ['xai-'], shape: /xai-[\w-]{40,}/y },
  { rule: 'replicate', anchors: ['r8_'], shape: /r8_[A-Za-z0-9]{30,}/y },
  { rule: 'perplexity', anchors: ['pplx-'], shape: /pplx-[A-Za-z0-9]{40,}/y },
  { rule: 'pkg', anchors: ['npm_'], shape: /npm_[A-Za-z0-9]{36}/y },
  { rule: 'pkg', anchors: ['pypi-'], shape: /pypi-[\w-]{50,}/y },
  { rule: 'sendgrid', anchors: ['SG.'], shape: /SG\.[\w-]{22}\.[\w-]{43}/y },
  {
    rule: 'twilio',
    anchors: ['SK'],
    shape: /SK[0-9a-fA-F]{32}(?![0-9a-zA-Z])/y,
    wordStart: true,
  },
  {
    rule: 'mailgun',
    anchors: ['key-'],
    shape: /key-[0-9a-f]{32}(?![0-9a-zA-Z])/y,
    wordStart: true,
  },
  { rule: 'cloud', anchors: ['dop_v1_'], shape: /dop_v1_[0-9a-f]{64}/y },
  { rule: 'cloud', anchors: ['dapi'], shape: /dapi[0-9a-f]{32}/y },
  { rule: 'cloud', anchors: ['hvs.', 'hvb.'], shape: /hv[sb]\.[\w-]{20,}/y },
  {
    rule: 'cloud',
    anchors: ['AccountKey='],
    shape: /AccountKey=[^\s;"'<>\\]+/y,
    keep: /AccountKey=/y,
  },
  {
    rule: 'cloud',
    anchors: ['SharedAccessSignature'],
    shape: /SharedAccessSignature[= ][^\s;"'<>\\]{8,}/y,
    keep: /SharedAccessSignature[= ]/y,
  },
  {
    rule: 'cloud',
    anchors: ['sig='],
    shape: /sig=[\w%+/=-]{16,}/y,
    keep: /sig=/y,
    wordStart: true,
  },
  { rule: 'age', anchors: ['AGE-SECRET-KEY-'], shape: /AGE-SECRET-KEY-1[A-Z0-9]{58}/y },
  {
    rule: 'pem',
    anchors: ['-----BEGIN'],
    shape:
      /-----BEGIN [A-Z0-9 ]{0,40}?PRIVATE KEY(?: BLOCK)?-----[\s\S]*?(?:-----END [A-Z0-9 ]{0,40}?PRIVATE KEY(?: BLOCK)?-----|$)/y,
  },
  // The user and the password of a URL: both, and only where there is a password.
  {
    rule: 'url-userinfo',
    anchors: ['://', ':\\/\\/'],
    shape: /:\\?\/\\?\/[^\s/?#:@"'<>\\]*:[^\s/?#"'<>\\]*(?=@)/y,
    keep: /:\\?\/\\?\//y,
  },
]

/** Rules that need more than a literal and a shape; scan.ts knows how to look for each. */
export const OTHER_RULES = [
  'jwt',
  'auth-header',
  'url-param',
  'cookie',
  'env-exact',
  'card',
  'iban',
  'ssn',
  'entropy',
] as const

/** Every rule by name. `key` stands for a value whose name tells that it is a secret. */
export const RULE_NAMES: readonly string[] = [
  ...new Set(['key', ...TOKEN_RULES.map(({ rule }) => rule), ...OTHER_RULES]),
]

/** Parameters of a query or a fragment whose value goes. */
export const URL_PARAMETERS: ReadonlySet<string> = new Set(
  'token key sig signature access_token refresh_token id_token api_key apikey password secret code'.split(
    ' ',
  ),
)
