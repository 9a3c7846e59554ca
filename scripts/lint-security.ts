/**
 * Rules that a general linter does not know: where secrets, the environment, randomness and outbound
 * connections may be touched. Prints each breach with the reason, and exits 1 if there is one.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'

const ROOT = resolve(import.meta.dirname, '..')

interface Rule {
  readonly name: string
  readonly why: string
  readonly pattern: RegExp
  /** Paths, from the root, where it is allowed. */
  readonly except: RegExp
}

const RULES: readonly Rule[] = [
  {
    name: 'environment',
    why: 'only app/ and cli/ read the environment; everything else is told',
    pattern: /\bprocess\.env\b/,
    except:
      /^packages\/server\/src\/(?:app|cli)\/|^packages\/coat\/src\/settings\.ts$|^packages\/sdk\/src\/(?:vault\/(?:options|target)|gateway\/environment|pod\/environment|sage\/(?:direct-provider|spiffe-gateway)-client|agent\/(?:bridge|context|repository|runner)|runtime\/options)\.ts$/,
  },
  {
    name: 'outbound',
    why: 'egress/ is the only door out (of the agent SDK: direct mode, which has no gateway)',
    // Types and what listens open nothing.
    pattern:
      /^(?!import type |import \{ createServer(?:, type Server)? \}).*from '(?:undici|node:https?|node:http2|node:tls|node:dgram)'|(?<![.#\w])fetch\(/,
    except:
      /^packages\/server\/src\/egress\/|^packages\/sdk\/src\/(?:gateway\/transport|llm\/direct-http|runtime\/(?:event-connection|exchange))\.ts$/,
  },
  {
    name: 'randomness',
    why: 'Math.random is predictable; use node:crypto (the PostgreSQL engine spreads its retries with it)',
    pattern: /\bMath\.random\(/,
    except: /^packages\/server\/src\/store\/postgres(?:-changes)?\.ts$/,
  },
  {
    name: 'code from data',
    why: 'nothing is evaluated and no shell is started ("vestry exec" and child-process.ts start the program they were given, without one; watcher.ts: a fixed script, what varies is its argument; argument-check.ts: a fixed call, under the clock that only such a context has)',
    pattern: /\beval\(|\bnew Function\(|from 'node:(?:vm|child_process)'/,
    except:
      /^packages\/server\/src\/(?:exec\/|mcp\/connect\/(?:child-process|watcher|argument-check)\.ts$)/,
  },
  {
    name: 'output',
    why: 'only the command line writes to the console',
    pattern: /\bconsole\.\w+\(/,
    except: /^$/,
  },
  {
    name: 'weak hash',
    why: 'MD5 and SHA-1 protect nothing; sign.ts offers hmac-sha1 where an operator asks for it, sealed-payload.ts reads tokens of older gateways, whose OAEP uses SHA-1',
    pattern: /['"](?:md5|sha1)['"]/,
    except:
      /^packages\/server\/src\/(?:vault\/operations\/sign|gateway\/tokens\/sealed-payload)\.ts$/,
  },
  {
    name: 'TLS',
    why: 'certificates are always verified',
    pattern: /rejectUnauthorized:\s*false/,
    except: /^$/,
  },
  {
    name: 'secret as text',
    why: 'a string cannot be wiped; splice bytes instead (send.ts: the HTTP client takes headers as text only; cli/: a short-lived process that sends JSON; admin-routes.ts: a new private key leaves once, in JSON; token-desk.ts: tokens are signed with the text of a secret; secrets/: JSON of the file and of Vault, and the OS keychain, hold texts; routes/secrets.ts: the one answer that is a value, in JSON)',
    pattern: /(?:secret|value|key)\.bytes\)?\.toString\(|injection\.value\.bytes\)\.toString\(/,
    except:
      /^packages\/server\/src\/(?:egress\/send\.ts$|cli\/|gateway\/(?:wire\/admin-routes|token-desk)\.ts$|secrets\/(?:file\/file|hashicorp\/vault|keychain\/keychain)-backend\.ts$|runtime\/routes\/secrets\.ts$)/,
  },
]

const SECRETS =
  /-----BEGIN (?:RSA |EC |OPENSSH )?PRIVATE KEY-----|\bAKIA[0-9A-Z]{16}\b|\bghp_[A-Za-z0-9]{36}\b/

const breaches: string[] = []
for (const file of sources()) {
  const path = relative(ROOT, file)
  const lines = readFileSync(file, 'utf8').split('\n')
  lines.forEach((line, index) => {
    const code = line.replace(/^\s*(?:\*|\/\/|\/\*).*$/, '')
    for (const rule of RULES) {
      if (rule.pattern.test(code) && !rule.except.test(path)) {
        breaches.push(`${path}:${index + 1}  ${rule.name}: ${rule.why}`)
      }
    }
    if (SECRETS.test(line)) breaches.push(`${path}:${index + 1}  committed secret`)
  })
  breaches.push(...wipedTooEarly(path, lines))
}

if (breaches.length > 0) {
  process.stderr.write(`${breaches.join('\n')}\n${breaches.length} breaches\n`)
  process.exitCode = 1
} else process.stdout.write(`lint:security: ${RULES.length + 2} rules, nothing found\n`)

/**
 * `using x = …; return later(x)` disposes x before `later` has used it: in an async function such a
 * return needs `await`. It wiped keys in use more than once, hence the rule. What has copied the bytes when it returns
 * may be returned as it is.
 */
function wipedTooEarly(path: string, lines: readonly string[]): string[] {
  const found: string[] = []
  lines.forEach((line, start) => {
    const using = /^(\s*)(?:await )?using (\w+) = /.exec(line)
    if (using === null) return
    const depth = (using[1] as string).length
    const uses = new RegExp(
      `^\\s*return (?!await\\b|new\\b|(?:createSecretKey|Buffer\\.from)\\()[\\w.#]+\\(.*\\b${using[2]}\\b`,
    )
    if (!isAsync(lines, start, depth)) return
    for (let at = start + 1; at < lines.length; at += 1) {
      const text = lines[at] as string
      if (text.trim() !== '' && text.length - text.trimStart().length < depth) return
      if (/\.move\(\)/.test(text)) return // ownership went elsewhere
      if (uses.test(text) && text.length - text.trimStart().length === depth) {
        found.push(
          `${path}:${at + 1}  wiped too early: return await, or the resource is disposed before use`,
        )
      }
    }
  })
  return found
}

/** Whether the block around a line belongs to an async function. */
function isAsync(lines: readonly string[], from: number, depth: number): boolean {
  for (let at = from - 1; at >= 0; at -= 1) {
    const text = lines[at] as string
    if (text.trim() === '' || text.length - text.trimStart().length >= depth) continue
    if (/\b(?:if|for|while|try|else|switch)\b.*\{$/.test(text)) {
      return isAsync(lines, at, text.length - text.trimStart().length)
    }
    // A signature may span lines: look back to where it begins.
    for (let up = at; up >= Math.max(0, at - 12); up -= 1) {
      if (/\basync\b/.test(lines[up] as string)) return true
      if (/\bfunction\b|=> \{$|^\s{0,2}#?\w+\(/.test(lines[up] as string)) return false
    }
    return false
  }
  return false
}

function sources(): string[] {
  return ['contract', 'coat', 'sdk', 'server'].flatMap((name) => {
    const directory = join(ROOT, 'packages', name, 'src')
    return readdirSync(directory, { recursive: true, encoding: 'utf8' })
      .map((file) => join(directory, file))
      .filter(
        (file) =>
          /\.ts$/.test(file) &&
          !/\.test\.ts$|\/test-[^/]*\.ts$|\/testing\/|\.test-kit\.ts$/.test(file),
      )
  })
}
