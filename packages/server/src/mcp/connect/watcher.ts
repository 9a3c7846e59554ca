/**
 * Ends what MCP servers leave behind when this daemon is killed: a tiny shell waits on a pipe that only the daemon
 * holds open, and when it closes without a word, ends every process that carries the daemon's mark.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { MARK } from './process-table.ts'

/**
 * Servers that notice the end of their input get a second. The mark is looked for again and again, since what is
 * being ended may start another process in between.
 */
const SCRIPT = `
while read -r word; do [ "$word" = done ] && exit 0; done
sleep 1
round=0
while [ "$round" -lt 20 ]; do
  found=$(grep -laF -- "$1" /proc/[0-9]*/environ 2>/dev/null)
  [ -n "$found" ] || exit 0
  for file in $found; do pid=\${file#/proc/}; kill -KILL "\${pid%/environ}" 2>/dev/null; done
  round=$((round + 1))
  sleep 0.1
done
`

export class Watcher implements Disposable {
  readonly #child: ChildProcess

  /** @param mark Value, or its beginning, of the variable that this daemon's children carry. */
  constructor(mark: string, warn: (line: string) => void) {
    this.#child = spawn('/bin/sh', ['-c', SCRIPT, 'vestry-mcp-watcher', `${MARK}=${mark}`], {
      env: { PATH: '/usr/bin:/bin' },
      cwd: '/',
      // A session of its own: what ends our group must not end it first.
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
    })
    this.#child.on('error', ({ message }) =>
      warn(`MCP servers may outlive a daemon that is killed: ${message}`),
    )
    this.#child.stdin?.on('error', () => undefined)
    this.#child.unref()
    const { stdin } = this.#child
    if (stdin !== null && 'unref' in stdin && typeof stdin.unref === 'function') stdin.unref()
  }

  /** Nothing is left to be watched. */
  [Symbol.dispose](): void {
    this.#child.stdin?.end('done\n')
  }
}
