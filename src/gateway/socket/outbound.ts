/**
 * What leaves through one socket. Owns: order, the event counter, what happens to a slow reader.
 * Refuses to know: what frames mean, tenants.
 */
import type { Duplex } from "node:stream";
import type { WebSocket } from "ws";
import { LIMITS } from "../../kernel/limits.ts";
import { writeEvent } from "../../protocol/frames.ts";

/** See the head of this file. */
export class Outbound {
  private readonly socket: WebSocket;
  private readonly stream: Duplex;
  private seq = 0;
  private isCorked = false;

  constructor(socket: WebSocket, stream: Duplex) {
    this.socket = socket;
    this.stream = stream;
  }

  /** Send a frame; a reader that is too far behind is closed instead. */
  send(text: string): void {
    if (this.socket.readyState !== this.socket.OPEN) return;
    if (this.socket.bufferedAmount > LIMITS.bufferedBytes) {
      this.socket.close(1008, "slow consumer");
      return;
    }
    this.cork();
    this.socket.send(text);
  }

  /** Send an event; one that may be dropped is dropped for a slow reader and takes no number then. */
  sendEvent(event: string, payloadJson: string, isDroppable: boolean): void {
    if (isDroppable && this.socket.bufferedAmount > LIMITS.deltaDropBytes) return;
    this.seq++;
    this.send(writeEvent(event, payloadJson, this.seq));
  }

  /** Send an event without a number, as the challenge is. */
  sendUnnumbered(event: string, payload: unknown): void {
    this.send(writeEvent(event, JSON.stringify(payload), null));
  }

  /** Frames of one turn of the event loop leave in one write: several times more frames a second. */
  private cork(): void {
    if (this.isCorked) return;
    this.isCorked = true;
    this.stream.cork();
    setImmediate(() => {
      this.isCorked = false;
      this.stream.uncork();
    });
  }
}
