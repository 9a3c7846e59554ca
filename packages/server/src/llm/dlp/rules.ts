/**
 * What must not leave in a request: keys of providers, private keys and signed tokens (wire contract §18.8). Every
 * pattern runs in linear time, and says only what kind it found, never what.
 */

export interface DlpRule {
  readonly name: string
  /** Any text that the pattern can match holds one of these; looking for them is cheap. */
  readonly hints: readonly string[]
  readonly pattern: RegExp
}

export const DLP_RULES: readonly DlpRule[] = [
  {
    name: 'anthropic_key',
    hints: ['sk-ant-'],
    pattern: /(?<![A-Za-z0-9])sk-ant-[A-Za-z0-9_-]{20,256}/g,
  },
  {
    name: 'openai_key',
    hints: ['sk-'],
    pattern:
      /(?<![A-Za-z0-9_-])sk-(?:(?:proj|svcacct|admin)-[A-Za-z0-9_-]{20,256}|[A-Za-z0-9]{32,256})/g,
  },
  {
    name: 'google_key',
    hints: ['AIza'],
    // The end counts too: pictures in base64 hold every four letters somewhere.
    pattern: /(?<![A-Za-z0-9])AIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])/g,
  },
  {
    name: 'aws_key',
    hints: ['AKIA', 'ASIA'],
    pattern: /(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])/g,
  },
  {
    name: 'github_token',
    hints: ['ghp_', 'gho_', 'ghu_', 'ghs_', 'ghr_', 'github_pat_'],
    pattern: /(?<![A-Za-z0-9])(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{40,255})/g,
  },
  {
    name: 'slack_token',
    hints: ['xox'],
    pattern: /(?<![A-Za-z0-9])xox[abprs]-[A-Za-z0-9-]{20,255}/g,
  },
  {
    name: 'stripe_key',
    hints: ['_live_'],
    pattern: /(?<![A-Za-z0-9])[sr]k_live_[A-Za-z0-9]{20,255}/g,
  },
  {
    name: 'private_key',
    hints: ['PRIVATE KEY-----'],
    // Code that only names the first line is no key. Headers inside belong to encrypted ones.
    pattern:
      /-----BEGIN (?:[A-Z0-9]{1,16} ){0,3}PRIVATE KEY-----(?:[\s\\rn]{1,8}(?:Proc-Type|DEK-Info):[^\n-]{1,40}(?:-[^\n-]{1,40}){0,4}){0,4}[A-Za-z0-9+/=\s\\]{64,16384}/g,
  },
  {
    name: 'jwt',
    hints: ['eyJ'],
    // Claims may be written with spaces or lines between them.
    pattern:
      /(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,8192}\.(?:eyJ|eyA|ew[0o])[A-Za-z0-9_-]{8,16384}\.[A-Za-z0-9_-]{16,2048}/g,
  },
]
