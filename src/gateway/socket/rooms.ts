/**
 * Connections by tenant, and events on their way to them. Owns: who is present, which connection gets which event.
 * Refuses to know: frames, methods. An event is serialised once, however many connections get it.
 */
import type { EventHub } from "../../events/hub.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { GatewayEvent } from "../../protocol/events.ts";

/** A connection as a room sees it. */
export interface Member {
  readonly id: string;
  /** What `system-presence` shows of it. */
  readonly presence: Readonly<Record<string, unknown>>;
  wants(event: GatewayEvent): boolean;
  deliver(event: string, payloadJson: string, isDroppable: boolean): void;
  /** Close it because its authority ended. */
  expel(code: number, reason: string): void;
}

interface Room {
  members: Map<string, Member>;
  leave(): void;
}

/** See the head of this file. */
export class Rooms {
  private readonly hub: EventHub;
  private readonly rooms = new Map<TenantId, Room>();

  constructor(hub: EventHub) {
    this.hub = hub;
  }

  /** Let a connection in; the returned function lets it out. */
  join(tenantId: TenantId, member: Member): () => void {
    const room = this.rooms.get(tenantId) ?? this.open(tenantId);
    room.members.set(member.id, member);
    return () => {
      room.members.delete(member.id);
      if (room.members.size > 0 || this.rooms.get(tenantId) !== room) return;
      room.leave();
      this.rooms.delete(tenantId);
    };
  }

  count(tenantId: TenantId): number {
    return this.rooms.get(tenantId)?.members.size ?? 0;
  }

  /** Present connections of a tenant, as `system-presence` shows them. */
  presence(tenantId: TenantId): Readonly<Record<string, unknown>>[] {
    return [...(this.rooms.get(tenantId)?.members.values() ?? [])]
      .slice(0, 200)
      .map((member) => member.presence);
  }

  /** Connections of a tenant. */
  members(tenantId: TenantId): Member[] {
    return [...(this.rooms.get(tenantId)?.members.values() ?? [])];
  }

  /** Connections of every tenant; for shutdown, ticks and news that concern all. */
  unscopedMembers(): { tenantId: TenantId; member: Member }[] {
    return [...this.rooms].flatMap(([tenantId, room]) =>
      [...room.members.values()].map((member) => ({ tenantId, member })),
    );
  }

  private open(tenantId: TenantId): Room {
    const members = new Map<string, Member>();
    const leave = this.hub.subscribe(tenantId, (event) => {
      let json: string | undefined;
      for (const member of members.values()) {
        if (!member.wants(event)) continue;
        json ??= JSON.stringify(event.payload);
        member.deliver(event.event, json, event.isDroppable === true);
      }
    });
    const room = { members, leave };
    this.rooms.set(tenantId, room);
    return room;
  }
}
