import { expect, test } from 'vitest'
import { isHidden, isWithin, mountArguments } from './mounts.ts'

const PLAN = {
  room: '/run/vestry-x',
  writable: { work: '/home/w' },
  readable: { repo: '/src', 'work/.sanctum': '/run/vestry-x/sanctum' },
  shown: ['/tmp/project'],
  hidden: ['/tmp/project/home'],
  closed: ['/tmp/project/dev.sock'],
  openTemporary: false,
  pod: '/home/v/run/p',
}

test('what is hidden is mounted after what is shown, and the room last of all', () => {
  const text = mountArguments(PLAN).join(' ')
  const places = [
    '--ro-bind / /',
    '--tmpfs /run',
    '--tmpfs /tmp',
    '--ro-bind /tmp/project /tmp/project',
    '--ro-bind /dev/null /tmp/project/dev.sock',
    '--tmpfs /tmp/project/home --remount-ro /tmp/project/home',
    '--ro-bind /run/vestry-x /run/vestry',
    '--ro-bind /home/v/run/p /run/envpod',
    '--bind /home/w /run/vestry/work',
    '--ro-bind /run/vestry-x/sanctum /run/vestry/work/.sanctum',
  ].map((part) => text.indexOf(part))
  expect(places).not.toContain(-1)
  expect(places).toEqual([...places].sort((a, b) => a - b))
})

test('temporary directories are open where the agent is another user', () => {
  expect(mountArguments({ ...PLAN, openTemporary: true }).join(' ')).toContain(
    '--perms 1777 --tmpfs /tmp',
  )
})

test('a neighbour whose name begins alike is not within', () => {
  expect(isWithin('/a/b', '/a')).toBe(true)
  expect(isWithin('/a', '/a')).toBe(true)
  expect(isWithin('/ab', '/a')).toBe(false)
  expect(isWithin('/a/..b', '/a')).toBe(true)
  expect(isHidden('/tmp/x')).toBe(true)
  expect(isHidden('/tmpfiles')).toBe(false)
})
