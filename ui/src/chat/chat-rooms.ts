/** The conversations open in this tab. Owns: which are kept and who hears an event. Refuses to know: what is inside one. */
import type { TenantConnection } from "../gateway/connection.ts";
import { ChatRoom } from "./chat-room.ts";

const KEPT = 12;

/** Conversations of one tenant by canonical session key, the least recently used dropped first. */
export class ChatRooms {
  private readonly connection: TenantConnection;
  private readonly rooms = new Map<string, ChatRoom>();

  constructor(connection: TenantConnection) {
    this.connection = connection;
  }

  /** Starts following the server; returns how to stop. */
  open(): () => void {
    const offEvent = this.connection.onEvent((event, payload) => {
      const key = (payload as { sessionKey?: unknown } | null | undefined)?.sessionKey;
      if (typeof key === "string") this.rooms.get(key)?.onEvent(event, payload);
    });
    const offReady = this.connection.onReady(() => {
      for (const room of this.rooms.values()) void room.sync();
    });
    return () => {
      offEvent();
      offReady();
    };
  }

  /** The conversation for a key, opened when it is not. */
  enter(key: string): ChatRoom {
    const known = this.rooms.get(key);
    if (known) {
      this.rooms.delete(key);
      this.rooms.set(key, known);
      return known;
    }
    const room = new ChatRoom(this.connection, key);
    this.rooms.set(key, room);
    if (this.connection.getState().phase === "ready") void room.sync();
    this.dropOldest();
    return room;
  }

  /** A conversation no server knows yet; it is kept once something was sent in it. */
  prepare(key: string): ChatRoom {
    const room = new ChatRoom(this.connection, key);
    room.startEmpty(() => this.rooms.set(key, room));
    return room;
  }

  /** Forgets a conversation, for instance after its session was deleted. */
  leave(key: string): void {
    this.rooms.delete(key);
  }

  private dropOldest(): void {
    for (const [key, room] of this.rooms) {
      if (this.rooms.size <= KEPT) return;
      const { run, outgoing } = room.getState();
      if ((run && !run.ended) || outgoing.length > 0) continue;
      this.rooms.delete(key);
      void this.connection.call("sessions.messages.unsubscribe", { key }).catch(() => undefined);
    }
  }
}
