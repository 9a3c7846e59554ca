/** A way to open the vault as replies tell it; also of a vault that no daemon serves yet. Pure. */
import type { SlotInfo } from '../seal/slot-admin.ts'

export function describeSlot({ id, type, label, createdAt, usable }: SlotInfo) {
  return { id, type, label, usable, created_at: new Date(createdAt).toISOString() }
}
