/** One line to start from, below the help of commands whose options alone do not tell how they are used. */
import type { Command } from 'commander'

/** Words of the command → the rest of an example. */
export const EXAMPLES: Readonly<Record<string, string>> = {
  up: '--home ./my-vestry --dev',
  init: '--passphrase-file ./passphrase --shares 5 --threshold 3',
  unseal: '--passphrase-file ./passphrase',
  'agent add': 'scout --role researcher',
  'agent claims': 'scout --capability read --capability commit --max-ttl 8h --scope tree',
  'agent rotate': 'scout --overlap 10m',
  'agent run': "scout --input 'What changed since Monday?' --watch",
  'agent history': 'scout --limit 20',
  'cred add': 'openai/api_key --value-file ./key.txt --host api.openai.com --use-only',
  'cred import': './.env --prefix team --dry-run',
  'cred rotate': 'openai/api_key --value-file ./new-key.txt',
  'secret set': 'scout db/password --value-file ./password.txt',
  'secret get': 'scout db/password --reveal',
  'secret backend set': 'vault.yaml --migrate',
  'policy add': 'rules.yaml',
  'policy test':
    '--agent scout --path openai/api_key --action use:http_request --op-params \'{"url":"https://api.openai.com/v1/models"}\'',
  'tool add': 'crm.yaml',
  'tool test': 'http_fetch:get --agent scout --params \'{"url":"https://example.com/"}\'',
  'tool sign': 'rev_01k3w8x7aa --key release',
  'tool verify': './tool.json --signature MEUCIF… --domain maps.example',
  'tool key add': 'release --domain tools.example',
  'tool key revoke': 'release --reason key_compromise',
  'tool pin add': 'route_finder maps.example',
  'review submit': 'tide_table.json --priority high --wait',
  'review list': '--status pending_review',
  'review show': 'rev_01k3w8x7aa…',
  'review approve': "rev_01k3w8x7aa… --comments 'runs in a sandbox'",
  'review sign': 'rev_01k3w8x7aa… --key default',
  'review corpus': '--show instructions/ignore-previous',
  'mcp add': 'files --cwd /data -- npx @modelcontextprotocol/server-filesystem /data',
  'mcp connect': 'files',
  'mcp call': 'files read_file --args \'{"path":"/data/notes.txt"}\'',
  'mcp accept': 'files read_file',
  'mcp serve': '--key-file scout.key',
  'input add': './webhook.yaml',
  'input trigger': 'his_01k3wa55dd… --payload \'{"source":"sms"}\'',
  'token mint': '--agent scout --tool serpapi --permission read --ttl 15m',
  'token list': '--agent scout --live',
  'token svid': '--agent scout --audience spiffe://sage-sanctum.local/tts',
  'token pod': '--agent scout',
  'token trat': '--run run_7f3c',
  'run register': 'run.yaml --agent scout --json',
  'run list': '--agent scout --all',
  'run close': 'run_7f3c',
  'job list': '--state failed',
  'lease revoke': '--agent scout',
  'claim revoke': '--agent scout',
  'llm usage': '--agent scout --total',
  'approval list': '--state pending',
  'approval allow': 'appr_1f0c… --for 30m',
  'key add': '--role auditor --name dashboard',
  'operator add': 'ada --role approver --out ./ada',
  'slot add': 'keyfile --new-keyfile /media/usb/unseal.key',
  audit: '--group-by-span --since 1h',
  'audit tail': '--follow --agent scout',
  'audit query': '--denied --since 2h',
  'audit export': '--since 7d --out last-week.jsonl',
  'audit verify': '--dir ./copy-of-audit',
  trace: 'txn_5b1e…',
  'telemetry export': '--from 41200',
  why: 'dec_4d42…',
  exec: '--run run_7f3c --repo ./robot-arm -- node ./agent.mjs',
  forward: '--listen /run/vestry/llm.sock --to gateway.internal:8080',
  backup: '/srv/backups',
}

/** Adds them to a finished program. */
export function addExamples(command: Command, words: readonly string[] = []): void {
  const example = EXAMPLES[words.join(' ')]
  if (example !== undefined)
    command.addHelpText('after', `\nExample:\n  vestry ${words.join(' ')} ${example}`)
  for (const child of command.commands) addExamples(child, [...words, child.name()])
}
