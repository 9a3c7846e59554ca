/** `vestry tool verify`: whether a signature belongs to what a file holds, and to whom it belongs. */

import { statSync } from 'node:fs'
import { VestryError } from '@vestry/contract/errors'
import type { Command } from 'commander'
import { SKILL_SIGNATURE_FILE } from '../review/signing/skill.ts'
import { cellText, type Row } from './cell.ts'
import type { Run } from './command.ts'
import { EXIT } from './exit-code.ts'
import { oneOf } from './option-value.ts'
import { readSkillDirectory } from './skill-directory.ts'
import type { Paint } from './style.ts'
import { facts } from './table.ts'
import { readTextFile } from './text-file.ts'

interface VerifyOptions {
  signature?: string
  domain?: string
  key?: string
  review?: string
  toolId?: string
  profile?: 'A' | 'B'
}

/** What the daemon accepts. */
const MAX_FILE_BYTES = 524_288
const MAX_KEY_BYTES = 4_096

export function toolVerifyCommand(tool: Command, run: Run): void {
  tool
    .command('verify')
    .description('check the signature of a tool; exit code 1 when it does not hold')
    .argument(
      '<file>',
      'JSON: a signed tool, a tool, a schema that carries its signature, a bundle; or a skill directory',
    )
    .option('--signature <base64>', 'the signature, when the file has none')
    .option('--domain <domain>', 'whose key it has to be; the key is looked up there and pinned')
    .option('--key <file>', 'public key in PEM, instead of looking one up')
    .option('--review <id>', 'a review that was signed here')
    .option('--tool-id <id>', 'what the key is pinned for (default: the name in the file)')
    .option('--profile <profile>', 'A or B (default: either)', oneOf('--profile', ['A', 'B']))
    .action(
      run(async (io, file: string, options: VerifyOptions) => {
        const { signature, domain, key, review, toolId, profile } = options
        if ([domain, key, review].filter((one) => one !== undefined).length > 1)
          throw new VestryError('USAGE', '--domain, --key and --review exclude each other')
        const pem = key === undefined ? undefined : await readTextFile(key, rules(MAX_KEY_BYTES))
        const given = {
          public_key_pem: pem?.text,
          signature,
          domain,
          review_id: review,
          tool_id: toolId,
          profile,
        }
        const content = isDirectory(file)
          ? skillContent(file, given)
          : { text: (await readTextFile(file, rules(MAX_FILE_BYTES))).text, ...given }
        const reply = await io.call('tool.verify', content, 'looking up the key')
        io.exitCode = reply['valid'] === true ? EXIT.done : EXIT.failed
        io.print(reply, (paint) => verificationText(reply, paint))
      }),
    )
}

function rules(maxBytes: number) {
  return { maxBytes, invalid: 'INVALID_PARAMS' as const, hint: 'Check the path' }
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true
}

/** What the signature file says stands in for what was not said; whose key it has to be only if nothing was. */
function skillContent(dir: string, given: Record<string, string | undefined>): Row {
  const { manifest, signed } = readSkillDirectory(dir)
  const text = (name: string) => (typeof signed[name] === 'string' ? signed[name] : undefined)
  const signer = given['public_key_pem'] ?? given['domain'] ?? given['review_id']
  const signature = given['signature'] ?? text('signature')
  if (signature === undefined)
    throw new VestryError('INVALID_PARAMS', `${dir} holds no signature (${SKILL_SIGNATURE_FILE})`, {
      hint: 'Give it with --signature',
    })
  return {
    ...given,
    skill_manifest: manifest,
    signature,
    domain: signer === undefined ? text('domain') : given['domain'],
    tool_id: given['tool_id'] ?? text('skill_name'),
    expires_at: text('expires_at'),
  }
}

function verificationText(reply: Row, paint: Paint): string {
  const valid = reply['valid'] === true
  const head = valid ? paint('green', 'VALID') : paint('red', 'NOT VALID')
  const warnings = Array.isArray(reply['warnings']) ? reply['warnings'] : []
  return [
    `${head}  ${cellText(reply['message'])}\n`,
    ...warnings.map((warning) => `${paint('yellow', '!')} ${cellText(warning)}\n`),
    facts(
      [
        ['reason', reply['code'] ?? undefined],
        ['digest', reply['schema_hash'] ?? undefined],
        ['signer', reply['signer'] ?? undefined],
        ['key', reply['key_fingerprint'] ?? undefined],
        ['pin', reply['pin_status'] ?? undefined],
        ['profile', reply['profile'] ?? undefined],
      ],
      paint,
    ),
  ].join('')
}
