#!/usr/bin/env node
// Starts the command line on Node 24.15 or newer. Under an older Node this process becomes the Node 24
// that is installed beside the package: same process id, so signals and exit codes need no passing on.
import { spawn } from 'node:child_process'
import { accessSync, constants, existsSync } from 'node:fs'
import module from 'node:module'
import { constants as os } from 'node:os'
import { dirname, join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'

const NEEDED = [24, 15]
/** Set in the restarted process, so that two of them never start each other for ever. */
const RESTARTED = 'VESTRY_NODE_RESTARTED'

const require = module.createRequire(import.meta.url)
const here = dirname(fileURLToPath(import.meta.url))

if (isNewEnough(process.versions.node)) await start()
else restart()

async function start() {
  const main = join(here, '..', 'dist', 'cli', 'main.js')
  // Compiled code is trusted as the code is, so it lies beside it: who may write there may change either.
  module.enableCompileCache(join(here, '..', '.cache'))
  if (existsSync(main)) await import('../dist/cli/main.js')
  else fail('vestry is not built', 'Run: npm run build')
}

function restart() {
  const node = process.env[RESTARTED] === undefined ? bundledNode() : undefined
  if (node === undefined) {
    const needed = NEEDED.join('.')
    fail(
      `vestry needs Node ${needed} or newer, this is ${process.version}, and none is installed beside it`,
      'Run "npm install" again without --omit=optional, or put Node 24 first in PATH',
    )
    return
  }
  const args = [node, ...process.execArgv, fileURLToPath(import.meta.url), ...process.argv.slice(2)]
  const env = { ...process.env, [RESTARTED]: '1' }
  if (!become(node, args, env)) runBeside(node, args, env)
}

function isNewEnough(version) {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return major > NEEDED[0] || (major === NEEDED[0] && minor >= NEEDED[1])
}

/** The platform's own Node package, wherever npm put it: here or in any directory above. */
function bundledNode() {
  if (process.platform !== 'linux') return undefined
  const name = `node-linux-${process.arch}`
  const candidates = []
  try {
    candidates.push(require.resolve(`${name}/bin/node`))
  } catch {
    // Not where the resolver looks; perhaps where the walk does.
  }
  for (let dir = here; ; dir = dirname(dir)) {
    candidates.push(join(dir, 'node_modules', name, 'bin', 'node'))
    if (dir === dirname(dir)) break
  }
  return candidates.find(isExecutable)
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** execve(2): returns only when it could not be done. */
function become(node, args, env) {
  try {
    const libc = require('koffi').load(null)
    const execve = libc.func('int execve(const char *path, const char **argv, const char **envp)')
    const fcntl = libc.func('int fcntl(int fd, int command, int argument)')
    // Node marks what it inherited as close-on-exec; the successor needs it.
    for (const fd of inheritedFiles()) fcntl(fd, 2 /* F_SETFD */, 0)
    const pairs = Object.entries(env).map(([name, value]) => `${name}=${value}`)
    execve(node, [...args, null], [...pairs, null])
  } catch {
    // No koffi for this platform: a child process does as well, at the price of a second one.
  }
  return false
}

/** Standard streams, and the descriptors that options such as `--value-fd 3` name. */
function inheritedFiles() {
  const files = [0, 1, 2]
  process.argv.forEach((word, index) => {
    const [, inline] = /^--[a-z-]+-fd(?:=(\d+))?$/.exec(word) ?? [undefined, null]
    const fd = inline === null ? Number.NaN : Number(inline ?? process.argv[index + 1])
    if (Number.isInteger(fd) && fd > 2) files.push(fd)
  })
  return files
}

function runBeside(node, args, env) {
  const files = inheritedFiles()
  const stdio = Array.from({ length: Math.max(...files) + 1 }, (_, fd) =>
    files.includes(fd) ? fd : 'ignore',
  )
  const child = spawn(node, args.slice(1), { stdio, env })
  const passOn = ['SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR2']
  for (const signal of passOn) process.on(signal, () => child.kill(signal))
  // A terminal sends its interrupt to both processes already.
  process.on('SIGINT', () => {
    if (!process.stdin.isTTY) child.kill('SIGINT')
  })
  child.on('error', (error) => fail(`Node 24 did not start: ${error.message}`, `Check ${node}`))
  child.on('exit', (code, signal) => {
    process.exitCode = signal === null ? (code ?? 1) : 128 + os.signals[signal]
  })
}

function fail(message, hint) {
  const code = 'CONFIG_INVALID'
  if (process.argv.includes('--json')) {
    const error = { code, message, hint, context: {} }
    process.stdout.write(`${JSON.stringify({ error }, null, 2)}\n`)
  } else {
    process.stderr.write(`${code}: ${message} → ${hint}\n`)
  }
  process.exitCode = 1
}
