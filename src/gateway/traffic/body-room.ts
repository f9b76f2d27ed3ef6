/**
 * How much of large bodies is kept in memory at once. Owns: room by key, who waits for it in which order.
 * Refuses to know: what bodies hold; who waits has read nothing yet, so that it waits at the sender's end of the line.
 */
import { AppError } from "../../kernel/errors.ts";

interface Room {
  usedBytes: number;
  waiting: { bytes: number; enter(): void }[];
}

/** See the head of this file. Keeps nothing of keys that use none. */
export class BodyRoom {
  private readonly rooms = new Map<string, Room>();

  /**
   * Resolves with the way out once there is room; whatever is larger than all of it goes in alone. Throws `aborted` when the
   * sender leaves.
   */
  async enter(key: string, bytes: number, mostBytes: number, signal: AbortSignal): Promise<() => void> {
    const room = this.rooms.get(key) ?? { usedBytes: 0, waiting: [] };
    this.rooms.set(key, room);
    if (room.waiting.length > 0 || !fits(room, bytes, mostBytes)) await this.wait(room, bytes, signal);
    else room.usedBytes += bytes;
    let isIn = true;
    return () => {
      if (isIn) this.leave(key, room, bytes, mostBytes);
      isIn = false;
    };
  }

  /** Keys that use room. */
  get size(): number {
    return this.rooms.size;
  }

  private wait(room: Room, bytes: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const place = { bytes, enter };
      const left = () => {
        room.waiting = room.waiting.filter((one) => one !== place);
        reject(new AppError("aborted", "The caller left."));
      };
      function enter() {
        signal.removeEventListener("abort", left);
        resolve();
      }
      room.waiting.push(place);
      if (signal.aborted) left();
      else signal.addEventListener("abort", left, { once: true });
    });
  }

  private leave(key: string, room: Room, bytes: number, mostBytes: number): void {
    room.usedBytes -= bytes;
    for (let next = room.waiting[0]; next !== undefined; next = room.waiting[0]) {
      if (!fits(room, next.bytes, mostBytes)) break;
      room.waiting.shift();
      room.usedBytes += next.bytes;
      next.enter();
    }
    if (room.usedBytes === 0 && room.waiting.length === 0) this.rooms.delete(key);
  }
}

function fits(room: Room, bytes: number, mostBytes: number): boolean {
  return room.usedBytes === 0 || room.usedBytes + bytes <= mostBytes;
}
