/**
 * Checkpoints of a session's rings, kept inside its slot, so that saves and forks carry them along. A slot holds those of every multiple of
 * the interval up to its evaluated length: each was kept when the length last passed it, so it belongs to the session's present tokens.
 */
import type { StateMap } from "./manifest.ts";

/** The first checkpoint after `position`. */
export function nextCheckpoint({ checkpoints }: StateMap, position: number): number {
  return (Math.floor(position / checkpoints.interval) + 1) * checkpoints.interval;
}

/** Keeps the rows before `position`, a checkpoint that the rings still hold all rows of. One at the context's very end has no room and no use. */
export function keepCheckpoint(slot: Uint8Array, state: StateMap, position: number): void {
  const { offset, bytes } = state.checkpoints;
  for (const { ring, kept, rowBytes } of keptRows(state, position))
    if (kept + rowBytes <= offset + bytes) slot.copyWithin(kept, ring, ring + rowBytes);
}

/** Takes the rings back to the last checkpoint at or before `position` and returns where that is; 0, a clear slot, is one. */
export function resumeCheckpoint(slot: Uint8Array, state: StateMap, position: number): number {
  const { interval } = state.checkpoints;
  const checkpoint = Math.floor(position / interval) * interval;
  if (checkpoint === 0) slot.fill(0);
  else for (const { ring, kept, rowBytes } of keptRows(state, checkpoint)) slot.copyWithin(ring, kept, kept + rowBytes);
  return checkpoint;
}

interface KeptRow {
  /** Its places in the slot: in the ring, and in the checkpoint. */
  readonly ring: number;
  readonly kept: number;
  readonly rowBytes: number;
}

/** The rows of the checkpoint at `position`, in the order in which it holds them. */
function keptRows({ rings, checkpoints }: StateMap, position: number): readonly KeptRow[] {
  const checkpointBytes = rings.reduce((sum, { reads, rowBytes }) => sum + reads * rowBytes, 0);
  let kept = checkpoints.offset + (position / checkpoints.interval - 1) * checkpointBytes;
  return rings.flatMap(({ offset, rows, rowBytes, reads }) =>
    Array.from({ length: reads }, (_, i) => {
      const ring = offset + ((position + rows - reads + i) % rows) * rowBytes;
      const row = { ring, kept, rowBytes };
      kept += rowBytes;
      return row;
    }),
  );
}
